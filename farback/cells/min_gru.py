"""The minimal gated recurrent unit, whose gate does not depend on the state."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from farback.cell import require_vector
from farback.cells.initialisers import AbstractGates, AbstractWeights, Forget, Uniform
from farback.cells.linear import AbstractLinearCell
from farback.cells.projected import draw_projection


class MinGRU(AbstractLinearCell):
    """The gated cell without its recurrent weights, linear in the state, so that a window is one parallel scan:

        z = σ(W_z x + b_z),  h̃ = W_h x + b_h,  h′ = (1 − z) ⊙ h + z ⊙ h̃

    Use it on long windows and, because its state Jacobian is diagonal and the trace of `RTRL()` small and exact, on
    streams. The gate depends only on the input; where it must depend on the memory, stack two layers, or use `ELSTM` or
    `GRU`.

    **Arguments:**

    - `input_size`, `size`: the number of inputs and of units.
    - `gates`: the initialiser of −b_z, the log odds of keeping the state. `Chrono(t_max)` spreads the time constants over
      [2, t_max].
    - `input_init`: the initialiser of W_z and W_h.

    Reference: Feng et al., *Were RNNs all we needed?*, 2024.
    """

    input_weight: Float[Array, "inputs 2 units"]
    bias: Float[Array, "2 units"]

    def __init__(
        self,
        input_size: int,
        size: int,
        gates: AbstractGates = Forget(0.0),
        input_init: AbstractWeights = Uniform(),
        *,
        key: PRNGKeyArray,
    ):
        key, gate_key = jax.random.split(key)
        self.input_weight = draw_projection(input_init, key, input_size, 2, size)
        self.bias = jnp.zeros((2, size)).at[0].set(-gates(gate_key, size))

    def initial(self) -> Float[Array, " units"]:
        return jnp.zeros_like(self.bias[0])

    def project(self, x: Float[Array, " inputs"]) -> tuple[Float[Array, " units"], Float[Array, " units"]]:
        require_vector(self, x, self.input_weight.shape[0])
        gate, candidate = jnp.tensordot(x, self.input_weight, 1) + self.bias
        return jax.nn.sigmoid(-gate), jax.nn.sigmoid(gate) * candidate

    def read(self, state: Float[Array, " units"], x: Float[Array, " inputs"]) -> Float[Array, " units"]:
        del x
        return state
