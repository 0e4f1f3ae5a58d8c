"""Strategies with another prior than the true one."""

from typing import Any

import jax
from jaxtyping import Array, Int, PRNGKeyArray

from farback.envs import AbstractEnv
from farback.strategies.base import AbstractStrategy, prior
from farback.strategies.belief import AbstractBelief, Values
from farback.types import InputError


class WithPrior(AbstractStrategy):
    """A strategy with the prior of another environment.

    `WithPrior(strategy, env)` in `env` is `strategy`. The strategies in the tables of RL² have other priors than the true
    one:

        WithPrior(OPSRL(), TabularMDP(mean=0.0))                                       rewards of mean 0 instead of 1
        WithPrior(Greedy(), TabularMDP(concentration=1e-4, mean=0.0, spread=100.0))    almost no prior

    **Arguments:**

    - `strategy`: the strategy.
    - `worlds`: the environment with the prior. It has the same numbers of states, actions and steps as the one to play.

    Reference: Osband, *TabulaRL*, 2016, whose defaults are those of the tables in Duan et al., *RL²*, 2016.
    """

    strategy: AbstractStrategy
    worlds: AbstractEnv

    def ready(self, env: AbstractEnv, episodes: int) -> "WithPrior":
        if _size(env) != _size(self.worlds):
            raise InputError(f"WithPrior(worlds={self.worlds}) cannot play {env}: give worlds of the same kind and size.")
        return WithPrior(self.strategy.ready(self.worlds, episodes), self.worlds)

    def prior(self, env: AbstractEnv, state: Any) -> AbstractBelief:
        return self.strategy.prior(self.worlds, state)

    def values(self, belief: AbstractBelief, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        return self.strategy.values(belief, episode, key)


def _size(env):
    belief = prior(env)
    return type(env), belief.horizon, [leaf.shape for leaf in jax.tree.leaves(belief)]
