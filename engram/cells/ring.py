"""The eigenvalues of linear cells: complex numbers within the unit circle."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from engram.cell import require_sizes
from engram.types import InputError


class Ring(eqx.Module):
    """One eigenvalue for each unit, stable whatever its parameters are: λ = exp(−exp(ν) + i exp(θ)).

    Drawn uniformly over the area of the ring r_min <= |λ| <= r_max, with phases in [0, max_phase].

    **Arguments:**

    - `size`: the number of units.
    - `r_min`, `r_max`: 0 <= r_min <= r_max <= 1; a unit remembers for about 1 / (1 − |λ|) steps.
    - `max_phase`: at most 2π; small phases are slow turns, fit for long sequences.

    Reference: Orvieto et al., *Resurrecting recurrent neural networks for long sequences*, ICML 2023, section 3.
    """

    nu_log: Float[Array, " units"]
    theta_log: Float[Array, " units"]

    def __init__(self, size: int, r_min: float, r_max: float, max_phase: float, *, key: PRNGKeyArray):
        require_sizes(size=size)
        if not 0 <= r_min <= r_max <= 1:
            raise InputError(
                f"r_min={r_min}, r_max={r_max}: eigenvalues are drawn between two circles within the unit circle; give "
                f"0 <= r_min <= r_max <= 1."
            )
        if not 0 < max_phase <= 2 * math.pi:
            raise InputError(f"max_phase={max_phase}: phases are drawn up to it; give 0 < max_phase <= 2π.")
        radius_key, phase_key = jax.random.split(key)
        u = jax.random.uniform(radius_key, (size,))
        tiny = jnp.finfo(u.dtype).tiny
        # Neither 0 nor 1 has a finite ν.
        squared = jnp.clip(r_min**2 + u * (r_max**2 - r_min**2), tiny, 1 - jnp.finfo(u.dtype).epsneg)
        self.nu_log = jnp.log(-jnp.log(squared) / 2)
        self.theta_log = jnp.log(max_phase * jax.random.uniform(phase_key, (size,), minval=tiny))

    def eigenvalues(self) -> Complex[Array, " units"]:
        """λ."""
        r, theta = jnp.exp(-jnp.exp(self.nu_log)), jnp.exp(self.theta_log)
        return jax.lax.complex(r * jnp.cos(theta), r * jnp.sin(theta))

    def normaliser(self) -> Float[Array, " units"]:
        """√(1 − |λ|²): with it, a white input makes a state of the same variance, however long the memory."""
        return jnp.sqrt(-jnp.expm1(-2 * jnp.exp(self.nu_log)))


def drive(
    gain: Float[Array, " units"], weight: Float[Array, "inputs 2 units"], x: Float[Array, " inputs"]
) -> Complex[Array, " units"]:
    """What the input adds to complex units: gain ⊙ (W₁ x + i W₂ x)."""
    re, im = gain * jnp.tensordot(x, weight, 1)
    return jax.lax.complex(re, im)
