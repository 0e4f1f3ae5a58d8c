"""Numbers that are told with how sure it is."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from engram.objectives.episodes import AbstractEpisodes, Recording
from engram.tasks.base import Part
from engram.types import InputError, Tally


class Gaussian(AbstractEpisodes):
    """Episodes whose numbers are told by a mean μ and a deviation σ, and charged by the likelihood:

        ℓ = ½ ((y − μ) / σ)² + log σ,      (μ, s) the output,      σ = floor + log(1 + eˢ)

    What is surprising is then what came against expectation: where anything may come, σ is large, and nothing surprises.

    **Arguments:**

    - `episodes`: what comes of whose steps is a number, such as `RandomPlay`.
    - `floor`: the least deviation; where what comes is certain, the likelihood would know no bound.

    Reference: Nix and Weigend, *Estimating the mean and variance of the target probability distribution*, ICNN 1994.
    """

    episodes: AbstractEpisodes
    floor: float
    steps: int

    def __init__(self, episodes: AbstractEpisodes, floor: float = 0.1):
        if not 0 < floor < math.inf:
            raise InputError(f"Gaussian(floor={floor}): give the least deviation of what comes, above 0.")
        target = jax.eval_shape(lambda: episodes.draw(1, jax.random.key(0)).targets)
        if not isinstance(target, jax.ShapeDtypeStruct) or target.size != episodes.steps * episodes.sizes[2]:
            raise InputError(
                f"Gaussian is of numbers, such as returns, but {type(episodes).__name__} asks for something else."
            )
        self.episodes, self.floor, self.steps = episodes, floor, episodes.steps

    @property
    def sizes(self) -> tuple[int, int, int]:
        seen, asked, said = self.episodes.sizes
        return seen, asked, 2 * said

    def held_out(self, part: Part = "test") -> "Gaussian":
        return Gaussian(self.episodes.held_out(part), self.floor)

    def draw(self, count: int, key: PRNGKeyArray) -> Recording:
        return self.episodes.draw(count, key)

    def loss(self, output: Float[Array, " both"], target: Any) -> tuple[Float[Array, ""], dict[str, Tally]]:
        mean, said = jnp.split(output, 2)
        deviation = self.floor + jax.nn.softplus(said)
        missed = (target.reshape(mean.shape) - mean) / deviation
        loss = jnp.sum(missed**2 / 2 + jnp.log(deviation))
        _, metrics = self.episodes.loss(mean, target)
        return loss, metrics | {"deviation": Tally(jnp.mean(deviation), jnp.ones_like(loss))}
