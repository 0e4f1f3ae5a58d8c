"""Doing what seems best, and doing anything."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from engram.strategies.base import AbstractStrategy
from engram.strategies.belief import AbstractBelief, Values
from engram.types import InputError


class Random(AbstractStrategy):
    """Uniformly random actions."""

    def values(self, belief: AbstractBelief, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        return jnp.zeros_like(belief.expected())


class Greedy(AbstractStrategy):
    """The best action if the world is what it is expected to be, given all that was seen of it."""

    def values(self, belief: AbstractBelief, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        return belief.expected()


class EpsilonGreedy(AbstractStrategy):
    """The best action if the world is as expected; with chance ε, any.

    ε = 0 is `Greedy`, and ε = 1 is `Random`.

    **Arguments:**

    - `epsilon`: ε.
    """

    epsilon: float = 0.1

    def __check_init__(self):
        if not 0 <= self.epsilon <= 1:
            raise InputError(f"EpsilonGreedy(epsilon={self.epsilon}): that is no probability; give one from 0 to 1.")

    def values(self, belief: AbstractBelief, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        expected = belief.expected()
        any_will_do = jax.random.bernoulli(key, self.epsilon, expected.shape[:-1])
        return jnp.where(any_will_do[..., None], 0.0, expected)
