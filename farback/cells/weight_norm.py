"""Weight normalisation: the length and the direction of a weight vector as separate parameters."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from farback.cell import AbstractCell, AbstractLocalCell, AbstractUnrolledCell, State
from farback.cells.gates import AbstractGatedCell
from farback.types import InputError


class NormalisedLinear(eqx.Module):
    """A linear layer whose weight vectors are g v / ‖v‖.

    **Arguments:**

    - `linear`: the layer to normalise. Initially the normalised layer equals it.
    """

    linear: eqx.nn.Linear
    gain: Float[Array, " outputs"]

    def __init__(self, linear: eqx.nn.Linear):
        self.linear = linear
        self.gain = jnp.linalg.norm(linear.weight, axis=1)

    def __call__(self, x: Float[Array, " inputs"]) -> Float[Array, "*outputs"]:
        weight = scaled(self.linear.weight.T, self.gain).T
        return eqx.tree_at(lambda linear: linear.weight, self.linear, weight)(x)


class WeightNorm(AbstractLocalCell, AbstractUnrolledCell):
    """A gated cell whose weight vectors w (of one group and one unit) are g v / ‖v‖.

    Initially g is ‖v‖, so the cell is unchanged. The gradient in v is orthogonal to v, and shrinks as ‖v‖
    grows, so the step size adapts. Use it where training is sensitive to the step size. W and U each have a g. Biases are
    not normalised. `SnAp(1)` serves it; `RFLO` and `KFRTRL` do not.

    **Arguments:**

    - `cell`: the cell to normalise: `Elman`, `Leaky`, `Gated`, `GRU` or `LSTM`.

    Reference: Salimans and Kingma, *Weight normalization*, NeurIPS 2016.
    """

    cell: AbstractGatedCell
    input_gain: Float[Array, "input_groups units"]
    state_gain: Float[Array, "state_groups units"]

    def __init__(self, cell: AbstractCell):
        if not isinstance(cell, AbstractGatedCell):
            raise InputError(
                f"WeightNorm(cell={type(cell).__name__}): only gated cells can be normalised; give Elman, Leaky, Gated, "
                f"GRU or LSTM."
            )
        self.cell = cell
        self.input_gain = jnp.linalg.norm(cell.input_weight, axis=0)
        self.state_gain = jnp.linalg.norm(cell.state_weight, axis=0)

    def normalised(self) -> AbstractGatedCell:
        """The cell with the weights g v / ‖v‖."""
        weights = (scaled(self.cell.input_weight, self.input_gain), scaled(self.cell.state_weight, self.state_gain))
        return eqx.tree_at(lambda cell: (cell.input_weight, cell.state_weight), self.cell, weights)

    def initial(self) -> State:
        return self.cell.initial()

    def __call__(self, state: State, x: Float[Array, " inputs"]) -> tuple[State, Float[Array, " units"]]:
        return self.normalised()(state, x)

    def local(self, state: State, x: Float[Array, " inputs"]) -> tuple[State, Float[Array, " units"]]:
        return self.normalised().local(state, x)

    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Any, flow: Float[Array, "time batch"]
    ) -> tuple[State, Float[Array, "time batch units"]]:
        return self.normalised().unroll(state, first, x, flow)


def scaled(v: Float[Array, "inputs *units"], g: Float[Array, "*units"]) -> Float[Array, "inputs *units"]:
    """The weights g v / ‖v‖ of each unit."""
    return v * (g / jnp.linalg.norm(v, axis=0))[None]
