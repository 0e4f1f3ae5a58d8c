"""The rescaling of action values in R2D2, in place of clipped rewards.

Reference: Pohlen et al., *Observe and look further: achieving consistent performance on Atari*, 2018.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

EPSILON = 1e-3


def rescale(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """h(x) = sign(x) (√(|x| + 1) − 1) + ε x."""
    return jnp.sign(x) * (jnp.sqrt(jnp.abs(x) + 1) - 1) + EPSILON * x


def unrescale(y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """h⁻¹(y) = sign(y) (((√(1 + 4ε (|y| + 1 + ε)) − 1) / 2ε)² − 1)."""
    root = (jnp.sqrt(1 + 4 * EPSILON * (jnp.abs(y) + 1 + EPSILON)) - 1) / (2 * EPSILON)
    return jnp.sign(y) * (root**2 - 1)
