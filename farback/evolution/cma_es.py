"""CMA-ES: the covariance matrix adaptation evolution strategy."""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs.base import AbstractEnv
from farback.evolution.base import AbstractEvolution
from farback.step import Model
from farback.types import InputError


class Rates(NamedTuple):
    """The constants of an update, by the number of parameters n and of candidates λ.

    - `weights`: the weights w_i of all candidates, from the best to the worst. Those of the best half are positive and sum
      to 1, the others are negative.
    - `mass`: μ_eff, the effective number of candidates in the best half.
    - `path_step`, `path_rank`: the rates c_σ and c_c of the two paths.
    - `damping`: d_σ.
    - `rank_one`, `rank_mu`: the rates c_1 and c_μ of the covariance matrix.
    - `length`: the expected length of a standard normal vector, E ‖N(0, I)‖.
    - `interval`: the generations between two eigendecompositions.
    """

    weights: np.ndarray
    mass: float
    path_step: float
    path_rank: float
    damping: float
    rank_one: float
    rank_mu: float
    length: float
    interval: int


class CMASearch(eqx.Module):
    """The state of the search, but for the mean.

    - `scale`: the standard deviation σ of all parameters together.
    - `covariance`: C, a matrix, or its diagonal.
    - `axes`, `lengths`: the eigenvectors B of C and the roots D of its eigenvalues; the axes of a diagonal are `None`.
    - `path_step`, `path_rank`: the evolution paths p_σ and p_c.
    - `generation`: the number of updates.
    """

    scale: Float[Array, ""]
    covariance: Array
    axes: Float[Array, "parameters parameters"] | None
    lengths: Float[Array, " parameters"]
    path_step: Float[Array, " parameters"]
    path_rank: Float[Array, " parameters"]
    generation: Int[Array, ""]


class CMAES(AbstractEvolution):
    """CMA-ES: draws candidates from a normal distribution, whose mean, scale and covariance matrix adapt to their order.

        θ_k = m + σ y_k,  y_k ~ N(0, C);      y_1, y_2, … from the best return to the worst, with weights w_i,
        m  ← m + σ y,  y = Σ_i w_i y_i for w_i > 0
        p_σ ← (1 − c_σ) p_σ + √(c_σ (2 − c_σ) μ_eff) C^(−1/2) y,      σ ← σ exp(min(1, c_σ/d_σ (‖p_σ‖ / E‖N(0, I)‖ − 1)))
        p_c ← (1 − c_c) p_c + h √(c_c (2 − c_c) μ_eff) y
        C  ← (1 − c_1 − c_μ Σ_i w_i) C + c_1 (p_c p_cᵀ + (1 − h) c_c (2 − c_c) C) + c_μ Σ_i w°_i y_i y_iᵀ

    where h is 1, or 0 while p_σ is long, and w°_i is w_i, or n w_i / ‖C^(−1/2) y_i‖² where w_i < 0. Use it for up to a
    thousand parameters, such as those of a linear controller that reads a pretrained network. The eigendecomposition of C
    costs O(n³) and is made every few generations; with `diagonal`, C is diagonal, its rates are (n + 2)/3 times as large,
    and a generation costs O(n).

    **Arguments:**

    - `env`: the environment, in JAX, such as CartPole().
    - `network`: the network, a maker `network(env, key=key)` such as an `ActionNetwork`.
    - `population`: λ, the number of candidates of a generation, at least 4.
    - `episodes`: the number of episodes of each candidate, in the same worlds for all.
    - `initial_scale`: the first σ.
    - `diagonal`: whether C is diagonal.

    References: Hansen, *The CMA evolution strategy: a tutorial*, 2016; Ros and Hansen, *A simple modification in CMA-ES
    achieving linear time and space complexity*, PPSN 2008 (diagonal).
    """

    env: AbstractEnv
    network: Callable[..., Model]
    population: int = 64
    episodes: int = 16
    initial_scale: float = 0.1
    diagonal: bool = False

    def __check_init__(self):
        if not 0 < self.initial_scale < math.inf:
            raise InputError(f"CMAES(initial_scale={self.initial_scale}): give a finite initial_scale > 0.")

    def begin(self, mean: Float[Array, " parameters"]) -> CMASearch:
        n, zeros = len(mean), jnp.zeros_like(mean)
        matrix = None if self.diagonal else jnp.eye(n, dtype=mean.dtype)
        ones = jnp.ones_like(mean)
        covariance = ones if matrix is None else matrix
        scale = jnp.asarray(self.initial_scale, mean.dtype)
        return CMASearch(scale, covariance, matrix, ones, zeros, zeros, jnp.zeros((), int))

    def ask(
        self, search: CMASearch, mean: Float[Array, " parameters"], key: PRNGKeyArray
    ) -> Float[Array, "population parameters"]:
        z = search.lengths * jax.random.normal(key, (self.population, len(mean)), mean.dtype)
        return mean + search.scale * (z if search.axes is None else z @ search.axes.T)

    def tell(
        self,
        search: CMASearch,
        mean: Float[Array, " parameters"],
        candidates: Float[Array, "population parameters"],
        returns: Float[Array, " population"],
    ) -> tuple[CMASearch, Float[Array, " parameters"], dict[str, Float[Array, ""]]]:
        rates = self.rates(len(mean))
        weights = jnp.asarray(rates.weights, mean.dtype)
        steps = (candidates[jnp.argsort(-returns)] - mean) / search.scale
        step, generation = jnp.maximum(weights, 0) @ steps, search.generation + 1
        path_step = _followed(search.path_step, _whitened(search, step), rates.path_step, rates.mass)
        length = jnp.linalg.norm(path_step)
        begun = jnp.sqrt(1 - (1 - rates.path_step) ** (2 * generation.astype(mean.dtype)))
        short = length / begun < (1.4 + 2 / (len(mean) + 1)) * rates.length
        path_rank = _followed(search.path_rank, jnp.where(short, step, 0), rates.path_rank, rates.mass)
        lengths = jnp.sum(jax.vmap(_whitened, (None, 0))(search, steps) ** 2, axis=1)
        scaled = jnp.where(weights < 0, weights * len(mean) / lengths, weights)
        kept = 1 - rates.rank_one - rates.rank_mu * float(rates.weights.sum())
        kept += jnp.where(short, 0, rates.rank_one * rates.path_rank * (2 - rates.path_rank))
        if search.axes is None:
            learnt = rates.rank_one * path_rank**2 + rates.rank_mu * scaled @ steps**2
        else:
            learnt = rates.rank_one * jnp.outer(path_rank, path_rank) + rates.rank_mu * (scaled * steps.T) @ steps
        covariance = kept * search.covariance + learnt
        scale = search.scale * jnp.exp(jnp.minimum(1, rates.path_step / rates.damping * (length / rates.length - 1)))
        axes, lengths = _decomposed(search, covariance, generation % rates.interval == 0)
        moved = mean + search.scale * step
        search = CMASearch(scale, covariance, axes, lengths, path_step, path_rank, generation)
        return search, moved, {"scale": scale, "axis_ratio": jnp.max(lengths) / jnp.min(lengths)}

    def rates(self, n: int) -> Rates:
        """The constants for n parameters."""
        raw = np.log((self.population + 1) / 2) - np.log(np.arange(1, self.population + 1))
        best, worst = np.maximum(raw, 0), np.minimum(raw, 0)
        mass, negative_mass = (float(part.sum() ** 2 / np.sum(part**2)) for part in (best, worst))
        path_step = (mass + 2) / (n + mass + 5)
        path_rank = (4 + mass / n) / (n + 4 + 2 * mass / n)
        damping = 1 + 2 * max(0.0, math.sqrt((mass - 1) / (n + 1)) - 1) + path_step
        faster = (n + 2) / 3 if self.diagonal else 1.0
        rank_one = min(1.0, faster * 2 / ((n + 1.3) ** 2 + mass))
        rank_mu = min(1 - rank_one, faster * 2 * (mass - 2 + 1 / mass) / ((n + 2) ** 2 + mass))
        negative = min(1 + rank_one / rank_mu, 1 + 2 * negative_mass / (mass + 2), (1 - rank_one - rank_mu) / (n * rank_mu))
        weights = best / best.sum() - negative * worst / worst.sum()
        length = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))
        interval = max(1, math.floor(1 / (10 * n * (rank_one + rank_mu))))
        return Rates(weights, mass, path_step, path_rank, damping, rank_one, rank_mu, length, interval)


def _followed(path: Array, step: Array, rate: float, mass: float) -> Array:
    """An evolution path after a step."""
    return (1 - rate) * path + math.sqrt(rate * (2 - rate) * mass) * step


def _whitened(search: CMASearch, step: Array) -> Array:
    """C^(−1/2) times a step."""
    if search.axes is None:
        return step / search.lengths
    return search.axes @ ((search.axes.T @ step) / search.lengths)


def _decomposed(search: CMASearch, covariance: Array, now: Array) -> tuple[Array | None, Array]:
    """The eigenvectors of the covariance matrix and the roots of its eigenvalues, of the last one unless `now`."""
    if search.axes is None:
        return None, jnp.sqrt(covariance)

    def decompose():
        values, axes = jnp.linalg.eigh(covariance)
        least = jnp.finfo(values.dtype).eps * jnp.max(values)
        return axes, jnp.sqrt(jnp.maximum(values, least))

    return jax.lax.cond(now, decompose, lambda: (search.axes, search.lengths))
