"""A replay buffer: the latest steps of parallel environments, in a ring within the state of a program."""

import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from farback.ops.host_arrays import HostArrays
from farback.ops.scatter import last_of_each
from farback.types import InputError


def _all(steps: Any) -> Any:
    return steps


class WindowIndices(NamedTuple):
    """Where windows lie in a replay.

    - `slot`: the slot of each window.
    - `start`: the position of its first step in the ring.
    """

    slot: Int[Array, " batch"]
    start: Int[Array, " batch"]


class Replay(eqx.Module):
    """The latest `capacity` steps of each of several slots, such as the copies of an environment.

        replay = Replay.empty(example, slots, capacity)
        replay = replay.add(steps)                                       # steps[slot, time]
        indices, window = replay.sample(key, batch, length)              # window[batch, time]
        replay = replay.write(indices, memories, lambda steps: steps.extras.memory)

    The steps are any pytree; arrays keep their dtypes, `uint8` images among them. A window is consecutive in time: it never
    contains both the newest and the oldest step of the ring. Episodes may begin within it.

    - `steps`: the ring; leading axes `[slot, time]`. A run may keep it on the host.
    - `head`: the position of the next step that is added.
    - `size`: the number of steps in each slot.
    """

    steps: PyTree[Array] | HostArrays
    head: Int[Array, ""]
    size: Int[Array, ""]

    @classmethod
    def empty(cls, example: PyTree, slots: int, capacity: int) -> "Replay":
        """Returns a replay without steps.

        **Arguments:**

        - `example`: one step of one slot: arrays, or their shapes and dtypes.
        - `slots`: the number of slots.
        - `capacity`: the number of steps of each slot.
        """
        if slots < 1 or capacity < 1:
            raise InputError(f"Replay(slots={slots}, capacity={capacity}): give at least 1 of each.")
        if slots * capacity >= 2**31:
            raise InputError(f"Replay(slots={slots}, capacity={capacity}): more than 2³¹ steps; give a smaller capacity.")
        steps = jax.tree.map(lambda leaf: jnp.zeros((slots, capacity, *leaf.shape), leaf.dtype), example)
        return cls(steps, jnp.zeros((), int), jnp.zeros((), int))

    @property
    def slots(self) -> int:
        """The number of slots."""
        return self._shape[0]

    @property
    def capacity(self) -> int:
        """The number of steps that a slot has room for."""
        return self._shape[1]

    def add(self, steps: PyTree[Array], after: Float[Array, ""] | None = None) -> "Replay":
        """Returns the replay after more steps, leading axes `[slot, time]`. They overwrite the oldest ones.

        **Arguments:**

        - `steps`: the steps.
        - `after`: a number that depends on all that was drawn before in the same program, such as a loss. A program that
          adds before it has drawn must copy the replay.
        """
        length = jax.tree.leaves(steps)[0].shape[1]
        if length > self.capacity:
            raise InputError(f"Replay.add: {length} steps do not fit a capacity of {self.capacity}; raise the capacity.")
        head = self.head
        if after is not None:
            head += (jnp.isnan(after) & (after > 0)).astype(head.dtype)  # 0
        at = (head + jnp.arange(length)) % self.capacity
        if isinstance(ring := self.steps, HostArrays):
            ring.set((jnp.arange(self.slots)[:, None], at[None]), steps, _all)
        else:
            ring = jax.tree.map(lambda ring, new: ring.at[:, at].set(new), ring, steps)
        return Replay(ring, (self.head + length) % self.capacity, jnp.minimum(self.size + length, self.capacity))

    def starts(self, length: int) -> Int[Array, ""]:
        """Returns the number of windows of a length in each slot; 0 if there are too few steps."""
        return jnp.maximum(self.size - length + 1, 0)

    def sample(self, key: PRNGKeyArray, batch: int, length: int) -> tuple[WindowIndices, PyTree[Array]]:
        """Draws windows uniformly, with replacement, from all those in the replay.

        There must be one: `starts(length) > 0`.

        **Returns:** `(indices, window)`: where the windows lie, and their steps, leading axes `[batch, time]`.
        """
        self._require_length(length)
        starts = jnp.maximum(self.starts(length), 1)
        ends = jnp.stack([jnp.asarray(self.slots, starts.dtype), starts])
        slot, age = jax.random.randint(key, (2, batch), 0, ends[:, None])
        indices = WindowIndices(slot, (self.head - self.size + age) % self.capacity)
        return indices, self.window(indices, length)

    def window(self, indices: WindowIndices, length: int) -> PyTree[Array]:
        """Returns the steps of windows, leading axes `[batch, time]`."""
        return self.read(indices.slot[:, None], self._positions(indices, length))

    def read(
        self, slot: Int[Array, "#batch #time"], at: Int[Array, "#batch #time"], where: Callable[[Any], Any] = _all
    ) -> PyTree[Array]:
        """Returns the steps at positions in the rings of slots, or the part of them that `where` selects."""
        if isinstance(self.steps, HostArrays):
            return self.steps.get((slot, at), where)
        return jax.tree.map(lambda leaf: leaf.at[slot, at].get(mode="clip"), where(self.steps))

    def write(
        self,
        indices: WindowIndices,
        values: PyTree[Array],
        where: Callable[[Any], Any] = _all,
        when: Bool[Array, ""] | bool = True,
    ) -> "Replay":
        """Returns the replay with other values in some windows. Where two windows overlap, the later one of the batch wins.

        **Arguments:**

        - `indices`: the windows.
        - `values`: the values, leading axes `[batch, time]`; from the first step of each window on.
        - `where`: selects the part of the steps that the values replace.
        - `when`: without it, nothing changes.
        """
        length = jax.tree.leaves(values)[0].shape[1]
        self._require_length(length)
        slot, at = indices.slot[:, None], self._positions(indices, length)
        if isinstance(self.steps, HostArrays):
            self.steps.set((slot, at), values, where, when)
            return self
        flat = (slot * self.capacity + at).ravel()
        order, target = last_of_each(flat, self.slots * self.capacity)
        target = jnp.where(when, target, self.slots * self.capacity)

        def put(leaf, new):
            rows = leaf.reshape(-1, *leaf.shape[2:])
            new = new.reshape(-1, *leaf.shape[2:])[order].astype(leaf.dtype)
            return rows.at[target].set(new, mode="drop").reshape(leaf.shape)

        part = jax.tree.map(put, where(self.steps), values)
        return eqx.tree_at(lambda replay: where(replay.steps), self, part)

    @property
    def _shape(self) -> tuple[int, ...]:
        steps = self.steps.store.like if isinstance(self.steps, HostArrays) else self.steps
        return jax.tree.leaves(steps)[0].shape

    def _positions(self, indices: WindowIndices, length: int) -> Int[Array, "batch time"]:
        return (indices.start[:, None] + jnp.arange(length)) % self.capacity

    def _require_length(self, length: int) -> None:
        if not 1 <= length <= self.capacity:
            raise InputError(
                f"A window of {length} steps does not fit a replay of {self.capacity} steps a slot: give a shorter window, "
                f"or a larger capacity."
            )


def replay_bytes(example: PyTree, slots: int, capacity: int) -> int:
    """Returns the bytes of memory of a replay."""
    leaves = jax.tree.leaves(example)
    return slots * capacity * sum(math.prod(leaf.shape) * jnp.dtype(leaf.dtype).itemsize for leaf in leaves)


def device_bytes() -> int:
    """Returns the bytes of memory of the device."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    return statistics.get("bytes_limit") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
