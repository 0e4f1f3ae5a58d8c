"""The shuffling recurrent network."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from farback.cell import require_sizes, require_vector
from farback.cells.projected import AbstractSteppedCell
from farback.types import InputError


class SRNN(AbstractSteppedCell):
    """The shuffling recurrent network, whose state is rotated at each step, with no parameters in the recurrence:

        b(x) = f_r(x) ⊙ σ(W x + b_g),  h′ = ReLU(P h + b(x)),  (P h)_i = h_{i−1}, (P h)_1 = h_{size}

    f_r is a multilayer perceptron with ReLU. P is orthogonal, so memories neither vanish nor explode. Use it as a
    baseline for long sequences. It forgets only where b(x) is negative.

    **Arguments:**

    - `input_size`, `size`: the number of inputs and of units.
    - `width`, `depth`: the width and the number of the hidden layers of f_r.

    Reference: Rotman and Wolf, *Shuffling recurrent neural networks*, AAAI 2021.
    """

    perceptron: eqx.nn.MLP
    gate: eqx.nn.Linear
    size: int = eqx.field(static=True)

    def __init__(self, input_size: int, size: int, width: int = 64, depth: int = 1, *, key: PRNGKeyArray):
        require_sizes(input_size=input_size, size=size, width=width)
        if depth < 1:
            raise InputError(f"SRNN(depth={depth}): f_r has at least 1 hidden layer; give depth >= 1.")
        perceptron_key, gate_key = jax.random.split(key)
        self.perceptron = eqx.nn.MLP(input_size, size, width, depth, jax.nn.relu, key=perceptron_key)
        self.gate = eqx.nn.Linear(input_size, size, key=gate_key)
        self.size = size

    def initial(self) -> Float[Array, " units"]:
        return jnp.zeros(self.size, self.gate.weight.dtype)

    def project(self, x: Float[Array, " inputs"]) -> Float[Array, " units"]:
        require_vector(self, x, self.gate.weight.shape[1])
        return self.perceptron(x) * jax.nn.sigmoid(self.gate(x))

    def advance(self, state: Float[Array, " units"], z: Float[Array, " units"]) -> Float[Array, " units"]:
        return jax.nn.relu(jnp.roll(state, 1) + z)

    def read(self, state: Float[Array, " units"], x: Float[Array, " inputs"]) -> Float[Array, " units"]:
        del x
        return state
