"""Thompson sampling and its variants."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from farback.envs import AbstractEnv, Bandit, GaussianBandit
from farback.strategies.arms import AbstractArms
from farback.strategies.base import AbstractStrategy, require
from farback.strategies.belief import AbstractBelief, Values
from farback.types import InputError


class Thompson(AbstractStrategy):
    """Thompson sampling: in each episode, the optimal policy of one draw from the posterior.

        w ~ posterior,     values = Q_w

    In MDPs this is PSRL, posterior sampling for reinforcement learning.

    References: Thompson, *On the likelihood that one unknown probability exceeds another in view of the evidence of two
    samples*, 1933; Strens, *A Bayesian framework for reinforcement learning*, 2000; Osband, Russo & Van Roy, *(More)
    efficient reinforcement learning via posterior sampling*, 2013.
    """

    def values(self, belief: AbstractBelief, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        return belief.drawn(key)


class OptimisticThompson(AbstractStrategy):
    """Thompson sampling whose action values are at least those of the posterior mean.

        values = max(Q_w, E Q),     w ~ posterior

    A draw below the mean only prevents exploitation. The strategy that RL² calls optimistic Thompson sampling is
    `LikeliestDraw`.

    Reference: May, Korda, Lee & Leslie, *Optimistic Bayesian sampling in contextual-bandit problems*, 2012.
    """

    def values(self, belief: AbstractBelief, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        return jnp.maximum(belief.drawn(key), belief.expected())


class LikeliestDraw(AbstractStrategy):
    """The optimal action of the most probable of N draws from the posterior, for bandits.

        values = argmax_{w ∈ {w_1 … w_N}} p(w | history),     w_i ~ posterior

    N = 1 is `Thompson`. For large N it is greedy with respect to the mode of the posterior. RL² calls it optimistic
    Thompson sampling (OTS); N ≈ 20 reproduces its table.

    **Arguments:**

    - `samples`: N, the number of draws.

    Reference: Duan et al., *RL²: fast reinforcement learning via slow reinforcement learning*, 2016, §3.1.
    """

    samples: int = 20

    def __check_init__(self):
        if self.samples < 1:
            raise InputError(f"LikeliestDraw(samples={self.samples}): one of the draws is used; give samples >= 1.")

    def ready(self, env: AbstractEnv, episodes: int) -> "LikeliestDraw":
        require(self, env, Bandit, GaussianBandit)
        return self

    def values(self, belief: AbstractArms, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        worlds = jax.vmap(belief.sample)(jax.random.split(key, self.samples))
        return worlds[jnp.argmax(jax.vmap(belief.log_density)(worlds))][None, None]
