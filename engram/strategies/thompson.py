"""Doing what would be best in worlds that may be."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from engram.envs import AbstractEnv, Bandit, GaussianBandit
from engram.strategies.arms import AbstractArms
from engram.strategies.base import AbstractStrategy, require
from engram.strategies.belief import AbstractBelief, Values
from engram.types import InputError


class Thompson(AbstractStrategy):
    """What is best in one world, drawn anew from the posterior in each episode.

        w ~ posterior,     values = Q_w

    In decision processes this is PSRL, posterior sampling for reinforcement learning.

    References: Thompson, *On the likelihood that one unknown probability exceeds another in view of the evidence of two
    samples*, 1933; Strens, *A Bayesian framework for reinforcement learning*, 2000; Osband, Russo & Van Roy, *(More)
    efficient reinforcement learning via posterior sampling*, 2013.
    """

    def values(self, belief: AbstractBelief, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        return belief.drawn(key)


class OptimisticThompson(AbstractStrategy):
    """`Thompson`, where no action is worth less than is expected of it.

        values = max(Q_w, E Q),     w ~ posterior

    The draw explores where it exceeds the mean; below it, it only keeps from exploiting. RL² compares with something else
    by this name: `LikeliestDraw`.

    Reference: May, Korda, Lee & Leslie, *Optimistic Bayesian sampling in contextual-bandit problems*, 2012.
    """

    def values(self, belief: AbstractBelief, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        return jnp.maximum(belief.drawn(key), belief.expected())


class LikeliestDraw(AbstractStrategy):
    """What is best in the likeliest of several worlds, drawn from the posterior in each episode; for bandits.

        values = argmax_{w ∈ {w_1 … w_N}} p(w | all that was seen),     w_i ~ posterior

    N = 1 is `Thompson`; many draws make it greedy, by the mode of the posterior. RL² calls it the optimistic variant of
    Thompson sampling (OTS); N ≈ 20 gives the numbers of its table.

    **Arguments:**

    - `samples`: N.

    Reference: Duan et al., *RL²: fast reinforcement learning via slow reinforcement learning*, 2016, §3.1.
    """

    samples: int = 20

    def __check_init__(self):
        if self.samples < 1:
            raise InputError(f"LikeliestDraw(samples={self.samples}): one is chosen of these; give samples >= 1.")

    def ready(self, env: AbstractEnv, episodes: int) -> "LikeliestDraw":
        require(self, env, Bandit, GaussianBandit)
        return self

    def values(self, belief: AbstractArms, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        worlds = jax.vmap(belief.sample)(jax.random.split(key, self.samples))
        return worlds[jnp.argmax(jax.vmap(belief.log_density)(worlds))][None, None]
