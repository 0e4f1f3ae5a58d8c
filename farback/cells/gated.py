"""The gated cell of the thesis: one gate per unit, the smallest network that is invariant to time warpings."""

from typing import ClassVar

import jax
from jax import numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from farback.cell import AbstractLeakyCell
from farback.cells.gates import AbstractGatedCell, Group, Units, draw_weights
from farback.cells.initialisers import AbstractGates, AbstractWeights, Forget, Uniform


class Gated(AbstractGatedCell, AbstractLeakyCell):
    """One gate g per unit, computed from the input and the state, eq. (5.10):

        g = σ(W_g x + U_g h + b_g),   h′ = g ⊙ tanh(W x + U h + b) + (1 − g) ⊙ h

    It is the smallest network that is invariant to time warpings, and a GRU without the reset gate. Use it to study gates;
    use `GRU` or `LSTM` for performance.

    **Arguments:**

    - `input_size`, `size`: the number of inputs and of units.
    - `gates`: the initialiser of −b_g, the log odds of keeping the state. `Chrono(t_max, t_min)` gives
      b_g = −log(U(t_min, t_max) − 1).
    - `input_init`, `state_init`: the initialisers of W and U.

    Reference: Tallec and Ollivier, *Can recurrent neural networks warp time?*, ICLR 2018.
    """

    groups: ClassVar = (Group("candidate", "tanh"), Group("gate", "sigmoid"))

    input_weight: Float[Array, "inputs 2 units"]
    state_weight: Float[Array, "units 2 units"]
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
        candidate, g = y
        return g * candidate + (1 - g) * state
