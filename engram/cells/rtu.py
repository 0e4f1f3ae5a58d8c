"""Recurrent trace units."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from jaxtyping import Complex as ComplexArray

from engram.cell import AbstractDiagonalCell, require_sizes, require_vector
from engram.cells.linear import AbstractLinearCell, Complex, join, split
from engram.cells.projected import AbstractSteppedCell
from engram.cells.ring import Ring, drive


class RTU(AbstractLinearCell):
    """Recurrent trace units, linear in the state, with the nonlinearity outside of the recurrence:

        r = exp(−exp(ν)),  g = r cos(exp(θ)),  φ = r sin(exp(θ)),  γ = √(1 − r²)
        h₁′ = g ⊙ h₁ − φ ⊙ h₂ + γ ⊙ (W₁ x),  h₂′ = g ⊙ h₂ + φ ⊙ h₁ + γ ⊙ (W₂ x),  y = ReLU([h₁′, h₂′])

    The LRU's recurrence with a read-out that keeps both halves, and with γ tied to r. Use it in online reinforcement
    learning: units never meet, so the trace of `RTRL()` is small and exact; and a window is one parallel scan. Mixing
    the units, and choosing by content what enters, is left to the layers around it.

    **Arguments:**

    - `input_size`, `size`: the numbers of inputs and of units; there are 2 · size outputs.
    - `r_min`, `r_max`, `max_phase`: the ring over which r and the phases exp(θ) are drawn.

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

    with g, φ and γ of the `RTU`. As cheap for `RTRL()`, and without a parallel scan: a window goes step by step. A unit
    that is at zero forgets its phase; try the linear one first.

    **Arguments:**

    - `input_size`, `size`: the numbers of inputs and of units; there are 2 · size outputs.
    - `r_min`, `r_max`, `max_phase`: the ring over which r and the phases exp(θ) are drawn.

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
