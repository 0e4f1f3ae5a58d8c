"""Greedy, random and ε-greedy strategies."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from farback.strategies.base import AbstractStrategy
from farback.strategies.belief import AbstractBelief, Values
from farback.types import InputError


class Random(AbstractStrategy):
    """Uniformly random actions."""

    def values(self, belief: AbstractBelief, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        return jnp.zeros_like(belief.expected())


class Greedy(AbstractStrategy):
    """The optimal action of the posterior mean."""

    def values(self, belief: AbstractBelief, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        return belief.expected()


class EpsilonGreedy(AbstractStrategy):
    """The optimal action of the posterior mean and, with probability ε, a random action.

    ε = 0 is `Greedy`, and ε = 1 is `Random`.

    **Arguments:**

    - `epsilon`: ε, the probability of a random action.
    """

    epsilon: float = 0.1

    def __check_init__(self):
        if not 0 <= self.epsilon <= 1:
            raise InputError(f"EpsilonGreedy(epsilon={self.epsilon}): epsilon is a probability; give 0 to 1.")

    def values(self, belief: AbstractBelief, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        expected = belief.expected()
        any_will_do = jax.random.bernoulli(key, self.epsilon, expected.shape[:-1])
        return jnp.where(any_will_do[..., None], 0.0, expected)
