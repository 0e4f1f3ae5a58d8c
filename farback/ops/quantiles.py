"""Quantile regression of distributions.

Reference: Dabney, Rowland, Bellemare and Munos, *Distributional reinforcement learning with quantile regression*, AAAI
2018.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def midpoints(count: int) -> Float[Array, " quantiles"]:
    """τ̂_i = (2i + 1) / 2N, i = 0, …, N − 1: the N quantiles nearest to a distribution in Wasserstein distance."""
    return (jnp.arange(count, dtype=float) + 0.5) / count


def quantile_loss(
    quantiles: Float[Array, " quantiles"], samples: Float[Array, " samples"], kappa: float = 1.0
) -> Float[Array, ""]:
    """Σ_i mean_j |τ̂_i − 1{u_ij < 0}| L_κ(u_ij) / κ,  u_ij = samples_j − quantiles_i, with Huber's L_κ          (9, 10)

    L_κ(u) = u² / 2 for |u| <= κ, and κ (|u| − κ / 2) otherwise. As κ → 0, the minimum is at the quantiles of the samples;
    with κ > 0 the minimising values are slightly closer together.
    """
    error = samples - quantiles[:, None]
    size = jnp.abs(error)
    huber = jnp.where(size <= kappa, error**2 / 2, kappa * (size - kappa / 2))
    weight = jnp.abs(midpoints(len(quantiles))[:, None] - (error < 0).astype(error.dtype))
    return jnp.sum(jnp.mean(weight * huber / kappa, axis=1))
