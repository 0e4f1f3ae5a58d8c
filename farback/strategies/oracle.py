"""The optimal policy of a known environment."""

from typing import Any

from jaxtyping import Array, Int, PRNGKeyArray

from farback.envs import AbstractEnv, TabularMDP
from farback.envs.bandit import AbstractBandit
from farback.strategies.base import AbstractStrategy, prior
from farback.strategies.belief import AbstractBelief, Values
from farback.strategies.world import plan


class Known(AbstractBelief):
    """A certain belief: a fixed table of values."""

    table: Values
    instead: AbstractBelief

    @property
    def horizon(self) -> int:
        return self.instead.horizon

    def state_index(self, observation: Array) -> Int[Array, ""]:
        return self.instead.state_index(observation)

    def update(self, state, action, reward, next_state, ended):
        return self

    def expected(self) -> Values:
        return self.table

    def drawn(self, key: PRNGKeyArray) -> Values:
        return self.table


class Oracle(AbstractStrategy):
    """The optimal policy of each environment, given its state: an upper bound on the expected return of every strategy.

    On k arms with uniform probabilities its expected reward is k / (k + 1). In `TabularMDP()` its expected return is
    21.86.
    """

    def prior(self, env: AbstractEnv, state: Any) -> Known:
        belief = prior(env)
        match env:
            case TabularMDP():
                return Known(plan(env.mdp(state), env.horizon), belief)
            case AbstractBandit():
                return Known(env.means(state)[None, None], belief)
            case _:
                raise AssertionError("prior refuses other environments")

    def values(self, belief: Known, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        return belief.expected()
