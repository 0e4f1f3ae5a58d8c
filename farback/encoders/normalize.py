"""Observations normalised by the mean and the standard deviation of all that were seen."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium.spaces import Space
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from farback.cells.frozen import freeze, thaw
from farback.encoders.base import flat_size
from farback.encoders.flatten import Flatten
from farback.network import AbstractEncoder

EPSILON = 1e-8
"""Added to the variance."""
LARGEST = 10.0
"""The largest absolute value of a feature."""


class Normalize(AbstractEncoder):
    """`Flatten`, normalised by the mean μ and the standard deviation σ of the observations of all rollouts so far:

        features = clip((x − μ) / σ, −10, 10)

    Use it where the numbers of an observation differ much in size, as the positions and speeds of a body do. Agents update
    the statistics after each rollout, and normalise the steps of a replay by those of the present. Before the first
    rollout, and in algorithms without rollouts, μ = 0 and σ = 1.

    **Arguments:**

    - `space`: the observation space: Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of them.
    - `key`: not used.

    Reference: Chan, Golub and LeVeque, *Updating formulae and a pairwise algorithm for computing sample variances*, 1979.
    """

    flatten: Flatten
    statistics: PyTree[Array]

    def __init__(self, space: Space[Any], *, key: PRNGKeyArray | None = None):
        size = flat_size("Normalize", space)
        self.flatten = Flatten(space)
        self.statistics = freeze((jnp.zeros(()), jnp.zeros(size), jnp.zeros(size)))

    def __call__(self, observation: Any) -> Float[Array, " features"]:
        count, mean, squares = thaw(self.statistics)
        scale = jnp.where(count > 0, jnp.sqrt(squares / jnp.maximum(count, 1) + EPSILON), 1)
        return jnp.clip((self.flatten(observation) - mean) / scale, -LARGEST, LARGEST)

    def observed(self, observations: Any) -> "Normalize":
        count, mean, squares = thaw(self.statistics)
        x = jax.vmap(jax.vmap(self.flatten))(observations).reshape(-1, len(mean))
        total, its_mean = count + len(x), jnp.mean(x, axis=0)
        shift = (its_mean - mean) * len(x) / total
        squares += jnp.sum((x - its_mean) ** 2, axis=0) + shift * (its_mean - mean) * count
        return eqx.tree_at(lambda encoder: encoder.statistics, self, freeze((total, mean + shift, squares)))
