"""The named pytrees that travel between the floors of the house."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Bool, Float, PyTree


class Window(eqx.Module):
    """The consecutive steps that one gradient is computed from.

    Leading axes are `[batch, time]`; a step's own data is a `Window` without them.

    - `first`: whether this observation begins an episode. The memory is reset *before* it is seen.
    - `inputs`: what the model sees.
    - `targets`: what the step is charged for: labels for a task, actions and returns for an agent.
    """

    first: Bool[Array, "*batch"]
    inputs: PyTree[Array]
    targets: PyTree[Array]


class Carry(eqx.Module):
    """What passes from one window to the next: the memory's `state` and, of a forward estimator, the `trace`."""

    state: PyTree[Array]
    trace: Any = None


class Outcome(eqx.Module):
    """What a window cost: the mean loss of its steps, and the metrics that the step reported, averaged likewise."""

    loss: Float[Array, ""]
    metrics: dict[str, Array]
