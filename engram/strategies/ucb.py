"""Doing what could be best: upper confidence bounds on what arms are worth."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from engram.envs import AbstractEnv, Bandit, GaussianBandit
from engram.strategies.arms import AbstractArms
from engram.strategies.base import AbstractStrategy, require
from engram.strategies.belief import Values
from engram.types import InputError


class AbstractUCB(AbstractStrategy):
    """The arm whose upper confidence bound is largest."""

    c: eqx.AbstractVar[float]

    def __check_init__(self):
        if not self.c >= 0:
            raise InputError(
                f"{type(self).__name__}(c={self.c}): unknown arms would be avoided; give c >= 0 (0 is greedy)."
            )

    def ready(self, env: AbstractEnv, episodes: int) -> "AbstractUCB":
        require(self, env, Bandit, GaussianBandit)
        return self

    def values(self, belief: AbstractArms, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        pulls = belief.pulls()
        return self.bound(belief, jnp.log(jnp.maximum(pulls.sum(), 1.0)), pulls)[None, None]

    @abstractmethod
    def bound(self, belief: AbstractArms, log_t: Float[Array, ""], pulls: Float[Array, " arms"]) -> Float[Array, " arms"]:
        """The bounds, from how often each arm was pulled and the logarithm of the sum of that."""


class UCB1(AbstractUCB):
    """Upper confidence bounds that are the same for all rewards of the same range.

        values_i = mean_i + c √(log t / n_i),     t = max(1, Σ n_i)

    Means are those of the posterior, and n counts what the prior is worth as pulls, so that no arm need be tried first.
    c = 0 is `Greedy`, exactly. The theorem is about c = √2, for rewards in [0, 1]; what is best in RL²'s bandits, c = 0.2,
    explores less.

    **Arguments:**

    - `c`: how far to trust in luck, in the units of the reward.

    Reference: Auer, Cesa-Bianchi & Fischer, *Finite-time analysis of the multiarmed bandit problem*, 2002.
    """

    c: float = 0.2

    def bound(self, belief, log_t, pulls):
        return belief.mean() + self.c * jnp.sqrt(log_t / pulls)


class KLUCB(AbstractUCB):
    """Upper confidence bounds by the divergence of the distributions of rewards.

        values_i = max q such that n_i KL(mean_i ‖ q) ≤ c log t,     t = max(1, Σ n_i)

    Means and counts are those of `UCB1`. Rewards of 1 or nothing have KL(p ‖ q) = p log(p/q) + (1−p) log((1−p)/(1−q)), and
    Gaussian ones (p − q)² / 2σ². c = 1 is asymptotically optimal, whatever the arms; less is better in few pulls.

    **Arguments:**

    - `c`: how far to trust in luck.

    Reference: Garivier & Cappé, *The KL-UCB algorithm for bounded stochastic bandits and beyond*, 2011.
    """

    c: float = 1.0

    def bound(self, belief, log_t, pulls):
        return belief.upper(self.c * log_t / pulls)
