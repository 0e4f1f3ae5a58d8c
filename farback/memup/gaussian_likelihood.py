"""Predictions of a mean and a standard deviation."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from gymnasium.spaces import Space
from jaxtyping import Array, Float, PRNGKeyArray

from farback.memup.episodes import AbstractEpisodeSource, Trajectories
from farback.types import InputError, Split, Tally


class GaussianLikelihood(AbstractEpisodeSource):
    """Episodes with numeric outcomes, predicted by a mean μ and a standard deviation σ. The loss is the negative
    log-likelihood up to a constant:

        ℓ = ½ ((y − μ) / σ)² + log σ,      σ = floor + log(1 + eˢ),      (μ, s) the network's output

    The prediction error is then large where an outcome contradicts the prediction, and small where outcomes are random,
    because σ is large there.

    **Arguments:**

    - `episodes`: a source with numeric outcomes, such as RandomEpisodes(TMaze(100)).
    - `floor`: the least σ. Without a floor, the likelihood of a certain outcome is unbounded.

    Reference: Nix and Weigend, *Estimating the mean and variance of the target probability distribution*, ICNN 1994.
    """

    episodes: AbstractEpisodeSource
    floor: float
    steps: int

    def __init__(self, episodes: AbstractEpisodeSource, floor: float = 0.1):
        if not 0 < floor < math.inf:
            raise InputError(
                f"GaussianLikelihood(floor={floor}): it is the least standard deviation; give a finite floor > 0."
            )
        target = jax.eval_shape(lambda: episodes.draw(1, jax.random.key(0)).targets)
        if not isinstance(target, jax.ShapeDtypeStruct) or target.size != episodes.steps * episodes.output_size:
            raise InputError(
                f"GaussianLikelihood needs numeric outcomes, such as returns, and {type(episodes).__name__} has others: "
                f"use that source without it."
            )
        self.episodes, self.floor, self.steps = episodes, floor, episodes.steps

    @property
    def observation_space(self) -> Space[Any]:
        return self.episodes.observation_space

    @property
    def action_space(self) -> Space[Any] | None:
        return self.episodes.action_space

    @property
    def output_size(self) -> int:
        return 2 * self.episodes.output_size

    def split(self, part: Split = "test") -> "GaussianLikelihood":
        return GaussianLikelihood(self.episodes.split(part), self.floor)

    def draw(self, count: int, key: PRNGKeyArray) -> Trajectories:
        return self.episodes.draw(count, key)

    def loss(self, output: Float[Array, " both"], target: Any) -> tuple[Float[Array, ""], dict[str, Tally]]:
        mean, raw = jnp.split(output, 2)
        deviation = self.floor + jax.nn.softplus(raw)
        error = (target.reshape(mean.shape) - mean) / deviation
        loss = jnp.sum(error**2 / 2 + jnp.log(deviation))
        _, metrics = self.episodes.loss(mean, target)
        return loss, metrics | {"deviation": Tally(jnp.mean(deviation), jnp.ones_like(loss))}
