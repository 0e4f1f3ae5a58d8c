"""The eigenvalues of linear cells: complex numbers within the unit circle."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from farback.cell import require_sizes
from farback.types import InputError


class Ring(eqx.Module):
    """One eigenvalue per unit, with |λ| < 1 for all parameters: λ = exp(−exp(ν) + i exp(θ)).

    Eigenvalues are uniform over the area of the ring r_min <= |λ| <= r_max, with phases in [0, max_phase].

    **Arguments:**

    - `size`: the number of units.
    - `r_min`, `r_max`: the radii of the ring, 0 <= r_min <= r_max <= 1. A unit remembers for about 1 / (1 − |λ|) steps.
    - `max_phase`: the largest phase, at most 2π. Small phases rotate slowly, as long sequences need.

    Reference: Orvieto et al., *Resurrecting recurrent neural networks for long sequences*, ICML 2023, section 3.
    """

    nu_log: Float[Array, " units"]
    theta_log: Float[Array, " units"]

    def __init__(self, size: int, r_min: float, r_max: float, max_phase: float, *, key: PRNGKeyArray):
        require_sizes(size=size)
        if not 0 <= r_min <= r_max <= 1:
            raise InputError(
                f"r_min={r_min}, r_max={r_max}: these are radii within the unit circle; give 0 <= r_min <= r_max <= 1."
            )
        if not 0 < max_phase <= 2 * math.pi:
            raise InputError(f"max_phase={max_phase}: this is the largest phase; give 0 < max_phase <= 2π.")
        radius_key, phase_key = jax.random.split(key)
        u = jax.random.uniform(radius_key, (size,))
        tiny = jnp.finfo(u.dtype).tiny
        # ν is not finite at 0 and at 1.
        squared = jnp.clip(r_min**2 + u * (r_max**2 - r_min**2), tiny, 1 - jnp.finfo(u.dtype).epsneg)
        self.nu_log = jnp.log(-jnp.log(squared) / 2)
        self.theta_log = jnp.log(max_phase * jax.random.uniform(phase_key, (size,), minval=tiny))

    def eigenvalues(self) -> Complex[Array, " units"]:
        """λ."""
        r, theta = jnp.exp(-jnp.exp(self.nu_log)), jnp.exp(self.theta_log)
        return jax.lax.complex(r * jnp.cos(theta), r * jnp.sin(theta))

    def normaliser(self) -> Float[Array, " units"]:
        """√(1 − |λ|²): with this gain, white noise of variance 1 gives a state of variance 1 for every λ."""
        return jnp.sqrt(-jnp.expm1(-2 * jnp.exp(self.nu_log)))


def drive(
    gain: Float[Array, " units"], weight: Float[Array, "inputs 2 units"], x: Float[Array, " inputs"]
) -> Complex[Array, " units"]:
    """The input to complex units: gain ⊙ (W₁ x + i W₂ x)."""
    re, im = gain * jnp.tensordot(x, weight, 1)
    return jax.lax.complex(re, im)
