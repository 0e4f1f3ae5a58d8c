"""The linear recurrent unit."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from jaxtyping import Complex as ComplexArray

from farback.cell import require_sizes, require_vector
from farback.cells.linear import AbstractLinearCell, Complex
from farback.cells.ring import Ring, drive


class LRU(AbstractLinearCell):
    """The linear recurrent unit: a complex diagonal recurrence with a linear readout:

        λ = exp(−exp(ν) + i exp(θ)),  h′ = λ ⊙ h + exp(γ) ⊙ (B x),  y = Re(C h′) + D x

    where γ is initially log √(1 − |λ|²). Use it for long memories: on streams, because its state Jacobian is diagonal and
    the trace of `RTRL()` small and exact, and on long windows, which are one parallel scan. The cell is linear: put
    nonlinear layers between and after cells. Unlike in `MinGRU`, the decay does not depend on the input.

    **Arguments:**

    - `input_size`, `size`: the number of inputs and of complex units.
    - `r_min`, `r_max`: the initial range of |λ| (see `Ring`); for long sequences, for example 0.9 and 0.999.
    - `max_phase`: the largest initial phase of λ; for long sequences, for example π/10.
    - `output_size`: the number of outputs; the default is `size`.

    Reference: Orvieto et al., *Resurrecting recurrent neural networks for long sequences*, ICML 2023.
    """

    ring: Ring
    gamma_log: Float[Array, " units"]
    input_weight: Float[Array, "inputs 2 units"]
    output_weight: Float[Array, "2 units outputs"]
    skip_weight: Float[Array, "inputs outputs"]

    def __init__(
        self,
        input_size: int,
        size: int,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        output_size: int | None = None,
        *,
        key: PRNGKeyArray,
    ):
        outputs = size if output_size is None else output_size
        require_sizes(input_size=input_size, output_size=outputs)
        ring_key, input_key, output_key, skip_key = jax.random.split(key, 4)
        self.ring = Ring(size, r_min, r_max, max_phase, key=ring_key)
        self.gamma_log = jnp.log(self.ring.normaliser())
        self.input_weight = jax.random.normal(input_key, (input_size, 2, size)) * (2 * input_size) ** -0.5
        self.output_weight = jax.random.normal(output_key, (2, size, outputs)) * size**-0.5
        self.skip_weight = jax.random.normal(skip_key, (input_size, outputs)) * input_size**-0.5

    def initial(self) -> Complex:
        zero = jnp.zeros_like(self.gamma_log)
        return Complex(zero, zero)

    def project(self, x: Float[Array, " inputs"]) -> tuple[ComplexArray[Array, " units"], ComplexArray[Array, " units"]]:
        require_vector(self, x, self.input_weight.shape[0])
        return self.ring.eigenvalues(), drive(jnp.exp(self.gamma_log), self.input_weight, x)

    def read(self, state: Complex, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        # One product is faster than three small ones.
        weight = jnp.concatenate([self.output_weight[0], -self.output_weight[1], self.skip_weight])
        return jnp.concatenate([state.re, state.im, x]) @ weight
