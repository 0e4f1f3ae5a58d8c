"""The interface of a strategy."""

from abc import abstractmethod
from typing import Any, TypeVar

import equinox as eqx
from jaxtyping import Array, Int, PRNGKeyArray

from farback.envs import AbstractEnv, Bandit, GaussianBandit, TabularMDP
from farback.strategies.arms import BernoulliArms, GaussianArms
from farback.strategies.belief import AbstractBelief, Values
from farback.strategies.world import World
from farback.types import InputError


class AbstractStrategy(eqx.Module):
    """A hand-designed policy for environments drawn from a known prior.

    At the beginning of each episode it computes a table of action values from its belief. At each step it takes the action
    with the largest value; ties are broken at random. (A strategy with random actions draws them into the table.)
    """

    def ready(self, env: AbstractEnv, episodes: int) -> "AbstractStrategy":
        """This strategy, prepared for trials of a number of episodes. Raises if it does not support the environment."""
        del env, episodes
        return self

    def prior(self, env: AbstractEnv, state: Any) -> AbstractBelief:
        """The belief at the beginning of a trial. Only `Oracle` uses the state of the environment."""
        del state
        return prior(env)

    @abstractmethod
    def values(self, belief: Any, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        """The action values of an episode. `episode` is its index in the trial."""


def prior(env: AbstractEnv) -> AbstractBelief:
    """The prior belief of an environment: the distribution that `reset` draws from."""
    match env:
        case Bandit():
            return BernoulliArms.from_env(env)
        case GaussianBandit():
            return GaussianArms.from_env(env)
        case TabularMDP():
            return World.from_env(env)
        case _:
            raise InputError(
                f"There is no prior of {type(env).__name__}: strategies play Bandit, GaussianBandit and TabularMDP."
            )


Kind = TypeVar("Kind", bound=AbstractEnv)


def require(strategy: AbstractStrategy, env: AbstractEnv, *kinds: type[Kind]) -> Kind:
    """The environment, if it is of the kinds that a strategy supports. Raises otherwise."""
    if not isinstance(env, kinds):
        names = " and ".join(kind.__name__ for kind in kinds)
        raise InputError(f"{type(strategy).__name__} plays {names}, not {type(env).__name__}.")
    return env
