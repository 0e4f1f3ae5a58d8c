"""Recurrent trace units."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from jaxtyping import Complex as ComplexArray

from farback.cell import AbstractDiagonalCell, require_sizes, require_vector
from farback.cells.linear import AbstractLinearCell, Complex, join, split
from farback.cells.projected import AbstractSteppedCell
from farback.cells.ring import Ring, drive


class RTU(AbstractLinearCell):
    """Recurrent trace units, linear in the state, with the nonlinearity outside of the recurrence:

        r = exp(−exp(ν)),  g = r cos(exp(θ)),  φ = r sin(exp(θ)),  γ = √(1 − r²)
        h₁′ = g ⊙ h₁ − φ ⊙ h₂ + γ ⊙ (W₁ x),  h₂′ = g ⊙ h₂ + φ ⊙ h₁ + γ ⊙ (W₂ x),  y = ReLU([h₁′, h₂′])

    It has the recurrence of the `LRU`, with γ tied to r, and reads out both parts of each unit. Use it in online
    reinforcement learning: its state Jacobian is diagonal, so the trace of `RTRL()` is small and exact, and a window is one
    parallel scan. The layers around it mix the units and gate the input.

    **Arguments:**

    - `input_size`, `size`: the number of inputs and of units. There are 2 · size outputs.
    - `r_min`, `r_max`: the initial range of r (see `Ring`).
    - `max_phase`: the largest initial phase exp(θ).

    Reference: Elelimy et al., *Real-time recurrent learning using trace units in reinforcement learning*, NeurIPS 2024.
    """

    ring: Ring
    input_weight: Float[Array, "inputs 2 units"]

    def __init__(
        self,
        input_size: int,
        size: int,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        *,
        key: PRNGKeyArray,
    ):
        self.ring, self.input_weight = draw_parameters(input_size, size, r_min, r_max, max_phase, key)

    def initial(self) -> Complex:
        zero = jnp.zeros_like(self.ring.nu_log)
        return Complex(zero, zero)

    def project(self, x: Float[Array, " inputs"]) -> tuple[ComplexArray[Array, " units"], ComplexArray[Array, " units"]]:
        require_vector(self, x, self.input_weight.shape[0])
        return self.ring.eigenvalues(), drive(self.ring.normaliser(), self.input_weight, x)

    def read(self, state: Complex, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        del x
        return jax.nn.relu(jnp.concatenate(state))


class NonlinearRTU(AbstractSteppedCell, AbstractDiagonalCell):
    """Recurrent trace units with the nonlinearity inside of the recurrence:

        h₁′ = ReLU(g ⊙ h₁ − φ ⊙ h₂ + γ ⊙ (W₁ x)),  h₂′ = ReLU(g ⊙ h₂ + φ ⊙ h₁ + γ ⊙ (W₂ x)),  y = [h₁′, h₂′]

    with g, φ and γ of the `RTU`. It is as cheap for `RTRL()`, but computes a window step by step, without a parallel
    scan. ReLU loses the phase of a unit whose parts are negative: try `RTU` first.

    **Arguments:**

    - `input_size`, `size`: the number of inputs and of units. There are 2 · size outputs.
    - `r_min`, `r_max`: the initial range of r (see `Ring`).
    - `max_phase`: the largest initial phase exp(θ).

    Reference: Elelimy et al., *Real-time recurrent learning using trace units in reinforcement learning*, NeurIPS 2024.
    """

    ring: Ring
    input_weight: Float[Array, "inputs 2 units"]

    def __init__(
        self,
        input_size: int,
        size: int,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        *,
        key: PRNGKeyArray,
    ):
        self.ring, self.input_weight = draw_parameters(input_size, size, r_min, r_max, max_phase, key)

    def initial(self) -> Complex:
        zero = jnp.zeros_like(self.ring.nu_log)
        return Complex(zero, zero)

    def project(self, x: Float[Array, " inputs"]) -> ComplexArray[Array, " units"]:
        require_vector(self, x, self.input_weight.shape[0])
        return drive(self.ring.normaliser(), self.input_weight, x)

    def advance(self, state: Complex, z: ComplexArray[Array, " units"]) -> Complex:
        return jax.tree.map(jax.nn.relu, split(self.ring.eigenvalues() * join(state) + z))

    def read(self, state: Complex, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        del x
        return jnp.concatenate(state)


def draw_parameters(
    input_size: int, size: int, r_min: float, r_max: float, max_phase: float, key: PRNGKeyArray
) -> tuple[Ring, Float[Array, "inputs 2 units"]]:
    """The eigenvalues, and W₁ and W₂ with entries from N(0, 1/inputs)."""
    require_sizes(input_size=input_size)
    ring_key, input_key = jax.random.split(key)
    ring = Ring(size, r_min, r_max, max_phase, key=ring_key)
    return ring, jax.random.normal(input_key, (input_size, 2, size)) * input_size**-0.5
