"""A replay whose windows are drawn in proportion to their priorities.

References: Schaul, Quan, Antonoglou and Silver, *Prioritized experience replay*, ICLR 2016; Kapturowski et al., *Recurrent
experience replay in distributed reinforcement learning* (R2D2), ICLR 2019.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from farback.replay.replay import Replay, WindowIndices
from farback.replay.sum_tree import SumTree
from farback.types import InputError, Number


class PrioritizedReplay(eqx.Module):
    """A replay that draws window i with probability

        P(i) = p_i / Σ_j p_j

    A new window has the largest priority so far, initially 1. The windows all have one length, which is fixed.

    - `replay`: the steps.
    - `tree`: the priorities p of the windows, by slot and first step; 0 for a window that is not whole.
    - `largest`: the largest priority so far.
    - `length`: the number of steps of a window.
    - `first`: selects whether an episode begins at each step. If it is given, windows that contain a part of more than one
      episode have priority 0.
    """

    replay: Replay
    tree: SumTree
    largest: Float[Array, ""]
    length: int = eqx.field(static=True)
    first: Callable[[Any], Bool[Array, "slot time"]] | None = eqx.field(static=True, default=None)

    @classmethod
    def empty(
        cls,
        example: PyTree,
        slots: int,
        capacity: int,
        length: int,
        first: Callable[[Any], Bool[Array, "slot time"]] | None = None,
    ) -> "PrioritizedReplay":
        """Returns a replay without steps; the arguments are those of `Replay.empty`, and `length` and `first`."""
        if not 1 <= length <= capacity:
            raise InputError(f"PrioritizedReplay(length={length}): give 1 <= length <= capacity, which is {capacity}.")
        replay = Replay.empty(example, slots, capacity)
        return cls(replay, SumTree.zeros(slots * capacity), jnp.ones(()), length, first)

    def add(self, steps: PyTree[Array], after: Float[Array, ""] | None = None) -> "PrioritizedReplay":
        """Returns the replay after more steps; the arguments are those of `Replay.add`."""
        before, ring = self.replay, self.replay.add(steps, after)
        count = jax.tree.leaves(steps)[0].shape[1]
        begin = jnp.arange(1 - self.length, count)  # all windows that contain a new step, relative to the first new one
        whole = (begin + self.length <= count) & (begin >= count - ring.size)
        if self.first is not None:
            at = (before.head + jnp.arange(1 - self.length, count + self.length - 1)) % ring.capacity
            begun = jnp.cumsum(ring.read(jnp.arange(before.slots)[:, None], at[None], self.first), axis=1)
            whole &= begun[:, self.length - 1 :] == begun[:, : len(begin)]
        position = jnp.arange(before.slots)[:, None] * before.capacity + (before.head + begin) % before.capacity
        weight = jnp.broadcast_to(jnp.where(whole, self.largest, 0), position.shape)
        tree = self.tree.set(position.ravel(), weight.ravel())
        return eqx.tree_at(lambda one: (one.replay, one.tree), self, (ring, tree))

    def sample(self, key: PRNGKeyArray, batch: int) -> tuple[WindowIndices, PyTree[Array], Float[Array, " batch"]]:
        """Draws windows by their priorities, with replacement. At least one must be whole.

        **Returns:** `(indices, window, probability)`: where the windows lie, their steps, and P(i) of each.
        """
        chosen, weights = self.tree.draw(key, batch)
        indices = WindowIndices(*jnp.divmod(chosen, self.replay.capacity))
        probability = weights / self.tree.total
        return indices, self.replay.window(indices, self.length), probability

    def set_priorities(
        self, indices: WindowIndices, priorities: Float[Array, " batch"], when: Bool[Array, ""] | bool = True
    ) -> "PrioritizedReplay":
        """Returns the replay with other priorities p of some windows. A window with priority 0 is not drawn.

        Values are checked only outside of compiled programs.

        **Arguments:**

        - `indices`, `priorities`: the windows, and their priorities.
        - `when`: without it, nothing changes.
        """
        if not isinstance(priorities, Tracer):
            bad = np.flatnonzero(~(np.isfinite(priorities) & (np.asarray(priorities) >= 0)))
            if len(bad):
                raise InputError(
                    f"priorities[{bad[0]}] = {priorities[bad[0]]}: a priority is a finite number of at least 0; find out "
                    f"why the error of that window is not one."
                )
        place = jnp.where(when, indices.slot * self.replay.capacity + indices.start, self.tree.size)
        tree = self.tree.set(place, priorities)
        largest = jnp.where(when, jnp.maximum(self.largest, jnp.max(priorities)), self.largest)
        return eqx.tree_at(lambda one: (one.tree, one.largest), self, (tree, largest))


def importance_weights(
    probability: Float[Array, " batch"], windows: Int[Array, ""], beta: Number
) -> Float[Array, " batch"]:
    """Returns w_i = (N P(i))^−β / max_j (N P(j))^−β, which correct for draws by priority; N is the number of windows."""
    weights = (windows.astype(float) * probability) ** -beta
    return weights / jnp.max(weights)
