"""Long short-term memory."""

from typing import ClassVar, NamedTuple

import jax
from jax import numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from farback.cells.gates import AbstractGatedCell, Group, Units, draw_weights
from farback.cells.initialisers import AbstractGates, AbstractWeights, Forget, Uniform


class LSTMState(NamedTuple):
    """The hidden state h and the cell state c. Credit passes through both."""

    h: Units
    c: Units


class LSTM(AbstractGatedCell):
    """Long short-term memory, without peepholes, eqs. (5.11) to (5.15):

        i, f, o = σ(W x + U h + b),  g = tanh(W_g x + U_g h + b_g)
        c′ = f ⊙ c + i ⊙ g,  h′ = o ⊙ tanh(c′)

    Use it where values must be kept unchanged for many steps: no nonlinearity acts on c between steps.

    **Arguments:**

    - `input_size`, `size`: the number of inputs and of units.
    - `gates`: the initialiser of the forget bias. `Forget(1.0)` is the usual constant; `Chrono(t_max)` also sets the input
      gate's bias to the opposite value, eq. (5.16).
    - `input_init`, `state_init`: the initialisers of the matrices W and U.

    Reference: Hochreiter and Schmidhuber, *Long short-term memory*, 1997; Gers, Schmidhuber and Cummins, 2000.
    """

    groups: ClassVar = (
        Group("input", "sigmoid"),
        Group("forget", "sigmoid"),
        Group("candidate", "tanh"),
        Group("output", "sigmoid"),
    )

    input_weight: Float[Array, "inputs 4 units"]
    state_weight: Float[Array, "units 4 units"]
    bias: Float[Array, "4 units"]

    def __init__(
        self,
        input_size: int,
        size: int,
        gates: AbstractGates = Forget(1.0),
        input_init: AbstractWeights = Uniform(),
        state_init: AbstractWeights = Uniform(),
        *,
        key: PRNGKeyArray,
    ):
        key, gate_key = jax.random.split(key)
        self.input_weight, self.state_weight = draw_weights(self.groups, input_size, size, input_init, state_init, key)
        keep = gates(gate_key, size)
        self.bias = jnp.zeros((4, size)).at[1].set(keep).at[0].set(-keep if gates.tied else jnp.zeros_like(keep))

    def initial(self) -> LSTMState:
        zero = jnp.zeros_like(self.bias[0])
        return LSTMState(zero, zero)

    @staticmethod
    def hidden(state: LSTMState) -> Units:
        return state.h

    @staticmethod
    def combine(state: LSTMState, y: tuple[Units, ...]) -> LSTMState:
        i, f, g, o = y
        c = f * state.c + i * g
        return LSTMState(o * jnp.tanh(c), c)
