"""Upper confidence bounds for bandits."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs import AbstractEnv, Bandit, GaussianBandit
from farback.strategies.arms import AbstractArms
from farback.strategies.base import AbstractStrategy, require
from farback.strategies.belief import Values
from farback.types import InputError


class AbstractUCB(AbstractStrategy):
    """The arm with the largest upper confidence bound."""

    c: eqx.AbstractVar[float]

    def __check_init__(self):
        if not self.c >= 0:
            raise InputError(
                f"{type(self).__name__}(c={self.c}): c < 0 would avoid unknown arms; give c >= 0 (0 is greedy)."
            )

    def ready(self, env: AbstractEnv, episodes: int) -> "AbstractUCB":
        require(self, env, Bandit, GaussianBandit)
        return self

    def values(self, belief: AbstractArms, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        pulls = belief.pulls()
        return self.bound(belief, jnp.log(jnp.maximum(pulls.sum(), 1.0)), pulls)[None, None]

    @abstractmethod
    def bound(self, belief: AbstractArms, log_t: Float[Array, ""], pulls: Float[Array, " arms"]) -> Float[Array, " arms"]:
        """The bounds, from the number of pulls of each arm and the logarithm of their sum."""


class UCB1(AbstractUCB):
    """UCB1: upper confidence bounds for bounded rewards.

        values_i = mean_i + c √(log t / n_i),     t = max(1, Σ n_i)

    Means are posterior means, and n includes the pseudo-counts of the prior, so no arm has to be tried first. c = 0 is
    exactly `Greedy`. The theorem has c = √2 for rewards in [0, 1]. In the bandits of RL², c = 0.2 is best.

    **Arguments:**

    - `c`: the factor on the exploration bonus, in units of the reward.

    Reference: Auer, Cesa-Bianchi & Fischer, *Finite-time analysis of the multiarmed bandit problem*, 2002.
    """

    c: float = 0.2

    def bound(self, belief, log_t, pulls):
        return belief.mean() + self.c * jnp.sqrt(log_t / pulls)


class KLUCB(AbstractUCB):
    """KL-UCB: upper confidence bounds from the divergence of the reward distributions.

        values_i = max q such that n_i KL(mean_i ‖ q) ≤ c log t,     t = max(1, Σ n_i)

    Means and counts are those of `UCB1`. Bernoulli rewards have KL(p ‖ q) = p log(p/q) + (1−p) log((1−p)/(1−q)), and
    Gaussian rewards (p − q)² / 2σ². c = 1 is asymptotically optimal; for few pulls, smaller c is better.

    **Arguments:**

    - `c`: the factor on the allowed divergence.

    Reference: Garivier & Cappé, *The KL-UCB algorithm for bounded stochastic bandits and beyond*, 2011.
    """

    c: float = 1.0

    def bound(self, belief, log_t, pulls):
        return belief.upper(self.c * log_t / pulls)
