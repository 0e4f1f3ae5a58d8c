"""The gated recurrent unit."""

from collections.abc import Callable
from typing import ClassVar

import jax
from jax import numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from farback.cells.gates import AbstractGatedCell, Group, Units, draw_weights
from farback.cells.initialisers import AbstractGates, AbstractWeights, Forget, Uniform


class AbstractGRU(AbstractGatedCell):
    """The gated recurrent unit, without the nonlinearity of its candidate."""

    groups: ClassVar = (
        Group("reset", "sigmoid"),
        Group("update", "sigmoid"),
        Group("fresh", "identity", uses_state=False),
        Group("recalled", "identity", uses_input=False),
    )

    input_weight: Float[Array, "inputs 3 units"]
    state_weight: Float[Array, "units 3 units"]
    bias: Float[Array, "4 units"]

    def __init__(
        self,
        input_size: int,
        size: int,
        gates: AbstractGates,
        input_init: AbstractWeights,
        state_init: AbstractWeights,
        *,
        key: PRNGKeyArray,
    ):
        key, gate_key = jax.random.split(key)
        self.input_weight, self.state_weight = draw_weights(self.groups, input_size, size, input_init, state_init, key)
        self.bias = jnp.zeros((4, size)).at[1].set(gates(gate_key, size))

    def initial(self) -> Float[Array, " units"]:
        return jnp.zeros_like(self.bias[0])

    @staticmethod
    def hidden(state: Units) -> Units:
        return state


class GRU(AbstractGRU):
    """The gated recurrent unit, in the form whose reset gate acts after the product:

        r = σ(W_r x + U_r h + b_r),  z = σ(W_z x + U_z h + b_z)
        n = tanh(W_n x + b_n + r ⊙ (U_n h + c_n)),  h′ = (1 − z) ⊙ n + z ⊙ h

    This is the form of cuDNN and PyTorch. Each parameter feeds one unit, as the local estimators (`SnAp`, `KFRTRL`) need.
    In the form that resets before the product, tanh(W_n x + U_n (r ⊙ h)), the parameters of r feed all units.

    Use it as a first choice: it has one state, a gate that keeps it (z near 1), and fewer parameters than an LSTM.

    **Arguments:**

    - `input_size`, `size`: the number of inputs and of units.
    - `gates`: the initialiser of the bias of z, which sets how long units remember initially. Use `Chrono(t_max)` if the
      range of dependencies is known.
    - `input_init`, `state_init`: the initialisers of the matrices W and U.

    Reference: Cho et al., *Learning phrase representations using RNN encoder-decoder*, 2014.
    """

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
        super().__init__(input_size, size, gates, input_init, state_init, key=key)

    @staticmethod
    def combine(state: Units, y: tuple[Units, ...]) -> Units:
        return updated(state, y, jnp.tanh)


class ReLUGRU(AbstractGRU):
    """A `GRU` with max(0, ·) in place of tanh, whose state is unbounded:

        n = max(0, W_n x + b_n + r ⊙ (U_n h + c_n))

    It can count. Use it with `WeightNorm`, or with small step sizes.

    **Arguments:**

    - `input_size`, `size`, `gates`, `input_init`, `state_init`: as in `GRU`.

    Reference: Duan et al., *RL²: fast reinforcement learning via slow reinforcement learning*, 2016, appendix A.
    """

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
        super().__init__(input_size, size, gates, input_init, state_init, key=key)

    @staticmethod
    def combine(state: Units, y: tuple[Units, ...]) -> Units:
        return updated(state, y, jax.nn.relu)


def updated(state: Units, y: tuple[Units, ...], candidate: Callable[[Array], Array]) -> Units:
    r, z, fresh, recalled = y
    return (1 - z) * candidate(fresh + r * recalled) + z * state
