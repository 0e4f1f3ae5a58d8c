"""Leaky units, with a learnable rate per unit."""

from typing import ClassVar

import jax
from jax import numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from farback.cell import AbstractLeakyCell
from farback.cells.gates import AbstractGatedCell, Group, Units, draw_weights
from farback.cells.initialisers import AbstractGates, AbstractWeights, Forget, Uniform


class Leaky(AbstractGatedCell, AbstractLeakyCell):
    """Leaky units, each with its own learnable rate α = σ(a), eq. (5.5):

        h′ = α ⊙ tanh(W x + U h + b) + (1 − α) ⊙ h

    It is invariant to a uniform warping of time, but not to a variable one, because the rate does not depend on the input.

    **Arguments:**

    - `input_size`, `size`: the number of inputs and of units.
    - `gates`: the initialiser of −a, the log odds of keeping the state. `Chrono(t_max)` spreads the time constants 1/α over
      [2, t_max].
    - `input_init`, `state_init`: the initialisers of W and U.

    Reference: Jaeger, 2002; Tallec and Ollivier, *Can recurrent neural networks warp time?*, 2018.
    """

    groups: ClassVar = (Group("candidate", "tanh"), Group("rate", "sigmoid", uses_input=False, uses_state=False))

    input_weight: Float[Array, "inputs 1 units"]
    state_weight: Float[Array, "units 1 units"]
    bias: Float[Array, "2 units"]

    def __init__(
        self,
        input_size: int,
        size: int,
        gates: AbstractGates = Forget(0.0),
        input_init: AbstractWeights = Uniform(),
        state_init: AbstractWeights = Uniform(),
        *,
        key: PRNGKeyArray,
    ):
        key, gate_key = jax.random.split(key)
        self.input_weight, self.state_weight = draw_weights(self.groups, input_size, size, input_init, state_init, key)
        self.bias = jnp.zeros((2, size)).at[1].set(-gates(gate_key, size))

    def initial(self) -> Float[Array, " units"]:
        return jnp.zeros_like(self.bias[0])

    @staticmethod
    def hidden(state: Units) -> Units:
        return state

    @staticmethod
    def combine(state: Units, y: tuple[Units, ...]) -> Units:
        candidate, rate = y
        return rate * candidate + (1 - rate) * state
