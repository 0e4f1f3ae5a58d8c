"""What a strategy is."""

from abc import abstractmethod
from typing import Any, TypeVar

import equinox as eqx
from jaxtyping import Array, Int, PRNGKeyArray

from engram.envs import AbstractEnv, Bandit, GaussianBandit, TabularMDP
from engram.strategies.arms import BernoulliArms, GaussianArms
from engram.strategies.belief import AbstractBelief, Values
from engram.strategies.world import World
from engram.types import InputError


class AbstractStrategy(eqx.Module):
    """A policy that somebody designed for worlds drawn from a known prior.

    At the beginning of each episode it makes a table of values from what it believes, and then does, at each step, what is
    worth most, ties at random. (A strategy that now and then acts at random draws beforehand when it will.)
    """

    def ready(self, env: AbstractEnv, episodes: int) -> "AbstractStrategy":
        """This strategy with all that it can prepare for trials of so many episodes; or a refusal, where it cannot play."""
        del env, episodes
        return self

    def prior(self, env: AbstractEnv, state: Any) -> AbstractBelief:
        """What it believes at the beginning of a trial. The state is the world's: for those to see who know everything."""
        del state
        return prior(env)

    @abstractmethod
    def values(self, belief: Any, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        """The table of values for an episode, the `episode`-th of its trial, from 0."""


def prior(env: AbstractEnv) -> AbstractBelief:
    """The prior that the worlds of an environment are drawn from."""
    match env:
        case Bandit():
            return BernoulliArms.of(env)
        case GaussianBandit():
            return GaussianArms.of(env)
        case TabularMDP():
            return World.of(env)
        case _:
            raise InputError(
                f"No prior is known of the worlds of {type(env).__name__}: strategies play Bandit, GaussianBandit and "
                f"TabularMDP."
            )


Kind = TypeVar("Kind", bound=AbstractEnv)


def require(strategy: AbstractStrategy, env: AbstractEnv, *kinds: type[Kind]) -> Kind:
    """An environment of those that a strategy is made for, or a refusal."""
    if not isinstance(env, kinds):
        names = " and ".join(kind.__name__ for kind in kinds)
        raise InputError(f"{type(strategy).__name__} plays {names}, not {type(env).__name__}.")
    return env
