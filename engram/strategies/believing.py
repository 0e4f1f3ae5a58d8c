"""Strategies that are told another prior than the true one."""

from typing import Any

import jax
from jaxtyping import Array, Int, PRNGKeyArray

from engram.envs import AbstractEnv
from engram.strategies.base import AbstractStrategy, prior
from engram.strategies.belief import AbstractBelief, Values
from engram.types import InputError


class Believing(AbstractStrategy):
    """A strategy that takes the worlds to be drawn as those of another environment are.

    `Believing(strategy, env)`, played in `env`, is `strategy`. The tables of the paper were made with priors of their own:

        Believing(OPSRL(), TabularMDP(mean=0.0))                                       rewards expected to be 0, not 1
        Believing(Greedy(), TabularMDP(concentration=1e-4, mean=0.0, spread=100.0))    next to no prior

    **Arguments:**

    - `strategy`: who plays.
    - `worlds`: the environment whose prior is believed: with as many states, actions and steps as the one that is played.

    Reference: Osband, *TabulaRL*, 2016, whose defaults are those of the tables in Duan et al., *RL²*, 2016.
    """

    strategy: AbstractStrategy
    worlds: AbstractEnv

    def ready(self, env: AbstractEnv, episodes: int) -> "Believing":
        if _size(env) != _size(self.worlds):
            raise InputError(
                f"Believing(worlds={self.worlds}) cannot play {env}: what is believed of the one does not fit the other; "
                f"give worlds of the same kind and size."
            )
        return Believing(self.strategy.ready(self.worlds, episodes), self.worlds)

    def prior(self, env: AbstractEnv, state: Any) -> AbstractBelief:
        return self.strategy.prior(self.worlds, state)

    def values(self, belief: AbstractBelief, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        return self.strategy.values(belief, episode, key)


def _size(env):
    belief = prior(env)
    return type(env), belief.horizon, [leaf.shape for leaf in jax.tree.leaves(belief)]
