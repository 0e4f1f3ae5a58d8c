"""The interface of a belief: a posterior over environments."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

Values = Float[Array, "time states actions"]
"""Action values at each step of an episode and in each state. A bandit has one step and one state."""


class AbstractBelief(eqx.Module):
    """The posterior over environments, given the steps so far."""

    @property
    @abstractmethod
    def horizon(self) -> int:
        """The number of steps of an episode."""

    @abstractmethod
    def state_index(self, observation: Array) -> Int[Array, ""]:
        """The index of the state with this observation."""

    @abstractmethod
    def update(
        self,
        state: Int[Array, ""],
        action: Int[Array, ""],
        reward: Float[Array, ""],
        next_state: Int[Array, ""],
        ended: Bool[Array, ""],
    ) -> "AbstractBelief":
        """The posterior after one more step. The next state of the last step of an episode is not observed."""

    @abstractmethod
    def expected(self) -> Values:
        """The optimal action values of the posterior mean."""

    @abstractmethod
    def drawn(self, key: PRNGKeyArray) -> Values:
        """The optimal action values of one draw from the posterior."""
