"""The simple recurrent network."""

from typing import ClassVar

from jax import numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from farback.cell import AbstractLeakyCell
from farback.cells.gates import AbstractGatedCell, Group, Units, draw_weights
from farback.cells.initialisers import AbstractWeights, Uniform


class Elman(AbstractGatedCell, AbstractLeakyCell):
    """The simple recurrent network: h′ = tanh(W x + U h + b).

    Use it as a baseline: it has no gate, so memories and gradients vanish or explode with the powers of U.

    **Arguments:**

    - `input_size`, `size`: the number of inputs and of units.
    - `input_init`, `state_init`: the initialisers of W and U.

    Reference: Elman, *Finding structure in time*, 1990.
    """

    groups: ClassVar = (Group("candidate", "tanh"),)

    input_weight: Float[Array, "inputs 1 units"]
    state_weight: Float[Array, "units 1 units"]
    bias: Float[Array, "1 units"]

    def __init__(
        self,
        input_size: int,
        size: int,
        input_init: AbstractWeights = Uniform(),
        state_init: AbstractWeights = Uniform(),
        *,
        key: PRNGKeyArray,
    ):
        self.input_weight, self.state_weight = draw_weights(self.groups, input_size, size, input_init, state_init, key)
        self.bias = jnp.zeros((1, size))

    def initial(self) -> Float[Array, " units"]:
        return jnp.zeros_like(self.bias[0])

    @staticmethod
    def hidden(state: Units) -> Units:
        return state

    @staticmethod
    def combine(state: Units, y: tuple[Units, ...]) -> Units:
        del state
        return y[0]
