"""The named pytrees that modules exchange, and the one exception for bad input."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Key, PyTree, Shaped

Keys = Key[Array, "..."]
"""One key for a whole batch, or one for each of its examples."""
Number = float | Float[Array, ""]
"""A hyper-parameter: an array within compiled programs."""
Split = Literal["validation", "test"]
"""The parts of the data that are held out from training."""


class InputError(ValueError):
    """A request that cannot be met. The message names the argument, the reason and the remedy."""


class Window(eqx.Module):
    """The consecutive steps that one gradient is computed from.

    Leading axes are `[batch, time]`; a step's own data is a `Window` without them.

    - `first`: whether this observation begins an episode. The memory is reset *before* this step.
    - `inputs`: the observation, or a task's input.
    - `targets`: the targets of the loss: labels for a task, actions and returns for an agent.
    """

    first: Shaped[Array, "*batch"]
    inputs: PyTree[Array]
    targets: PyTree[Array]

    def checked(self) -> "Window":
        """This window, after checks: axes `[batch, time]` throughout, not empty, `first` boolean, no NaN or infinity.

        Values are checked only outside of compiled programs, and are copied to the host for this.
        """
        if self.first.dtype != bool:
            raise InputError(
                f"Window.first is {self.first.dtype}, but it marks where episodes begin: give booleans, such as "
                f"first.astype(bool)."
            )
        if self.first.ndim != 2:
            raise InputError(
                f"Window.first has shape {self.first.shape}, but the axes of a window are [batch, time]: add the missing "
                f"axis, for one sequence with first[None]."
            )
        for axis, name in enumerate(("batch", "time")):
            if self.first.shape[axis] == 0:
                raise InputError(f"The {name} axis of the window is empty: a gradient needs one step of one example.")
        for path, leaf in jax.tree.leaves_with_path((self.inputs, self.targets)):
            where = ("inputs", "targets")[path[0].idx] + jax.tree_util.keystr(path[1:])
            for axis, name in enumerate(("batch", "time")):
                if leaf.ndim <= axis or leaf.shape[axis] != self.first.shape[axis]:
                    raise InputError(
                        f"Window.{where} has shape {leaf.shape}, which does not agree with Window.first, "
                        f"{self.first.shape}, along the {name} axis (axis {axis})."
                    )
        require_finite("Window.inputs", self.inputs)
        require_finite("Window.targets", self.targets)
        return self


def require_finite(name: str, data: PyTree[Array]) -> None:
    """Raises if a value is NaN or infinite. Values are checked only outside of compiled programs, on the host."""
    for path, leaf in jax.tree.leaves_with_path(data):
        if not isinstance(leaf, Tracer) and jnp.issubdtype(leaf.dtype, jnp.inexact):
            bad = np.argwhere(~np.isfinite(np.asarray(leaf)))
            if len(bad):
                raise InputError(
                    f"{name}{jax.tree_util.keystr(path)} is NaN or infinite at {len(bad)} places, first at "
                    f"[batch, time, ...] = {bad[0].tolist()}: clean the data before training on it."
                )


class Carry(eqx.Module):
    """The data passed from one window to the next: the memory's `state` and, for a forward estimator, the `trace`."""

    state: PyTree[Array]
    trace: Any = None


class Tally(eqx.Module):
    """A running mean, `total / count`. Tallies add up over steps; a step with nothing to report has count 0."""

    total: Float[Array, "*batch"]
    count: Float[Array, "*batch"]

    @property
    def mean(self) -> Float[Array, "*batch"]:
        """The mean; NaN where the count is 0."""
        return self.total / self.count


class Outcome(eqx.Module):
    """The mean loss of a window's steps, and their metrics."""

    loss: Float[Array, "*updates"]
    metrics: dict[str, Tally]
