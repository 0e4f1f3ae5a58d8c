"""The LSTM with element-wise recurrence."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from farback.cell import AbstractDiagonalCell, require_vector
from farback.cells.initialisers import AbstractGates, AbstractWeights, Forget, Normal
from farback.cells.projected import AbstractSteppedCell, draw_projection


class ELSTM(AbstractSteppedCell, AbstractDiagonalCell):
    """An LSTM with element-wise recurrence: each gate depends on its own unit of the cell state only.

        f = σ(W_f x + w_f ⊙ c + b_f),  z = tanh(W_z x + w_z ⊙ c + b_z),  c′ = f ⊙ c + (1 − f) ⊙ z
        o = σ(W_o x + U_o c′ + b_o),   h = o ⊙ c′

    The output gate depends on the new cell state of all units, and is outside of the recurrence. Use it on streams where
    the gates must depend on the memory: its state Jacobian is diagonal, so the trace of `RTRL()` is small and exact.

    **Arguments:**

    - `input_size`, `size`: the number of inputs and of units.
    - `gates`: the initialiser of b_f, the log odds of keeping the state.
    - `init`: the initialiser of all weights. w_f and w_z are one row of a matrix each.

    Reference: Irie, Gopalakrishnan and Schmidhuber, *Exploring the promise and limits of real-time recurrent learning*,
    ICLR 2024.
    """

    input_weight: Float[Array, "inputs 2 units"]
    state_weight: Float[Array, "2 units"]
    bias: Float[Array, "2 units"]
    output_input_weight: Float[Array, "inputs units"]
    output_state_weight: Float[Array, "units units"]
    output_bias: Float[Array, " units"]

    def __init__(
        self,
        input_size: int,
        size: int,
        gates: AbstractGates = Forget(0.0),
        init: AbstractWeights = Normal(0.1),
        *,
        key: PRNGKeyArray,
    ):
        gate_key, input_key, state_key, output_input_key, output_state_key = jax.random.split(key, 5)
        self.input_weight = draw_projection(init, input_key, input_size, 2, size)
        self.state_weight = draw_projection(init, state_key, 1, 2, size)[0]
        self.bias = jnp.zeros((2, size)).at[0].set(gates(gate_key, size))
        self.output_input_weight = init(output_input_key, input_size, size)
        self.output_state_weight = init(output_state_key, size, size)
        self.output_bias = jnp.zeros(size)

    def initial(self) -> Float[Array, " units"]:
        return jnp.zeros_like(self.output_bias)

    def project(self, x: Float[Array, " inputs"]) -> Float[Array, "2 units"]:
        require_vector(self, x, self.input_weight.shape[0])
        return jnp.tensordot(x, self.input_weight, 1) + self.bias

    def advance(self, state: Float[Array, " units"], z: Float[Array, "2 units"]) -> Float[Array, " units"]:
        forget, candidate = z + self.state_weight * state[None]
        f = jax.nn.sigmoid(forget)
        return f * state + (1 - f) * jnp.tanh(candidate)

    def read(self, state: Float[Array, " units"], x: Float[Array, " inputs"]) -> Float[Array, " units"]:
        o = x @ self.output_input_weight + state @ self.output_state_weight + self.output_bias
        return jax.nn.sigmoid(o) * state
