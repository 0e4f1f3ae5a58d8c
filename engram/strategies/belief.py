"""What can be known of a world."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

Values = Float[Array, "time states actions"]
"""What each action is worth, at each step of an episode and in each state; a bandit has one of both."""


class AbstractBelief(eqx.Module):
    """What is known of a world: its posterior, after all that was seen in it."""

    @property
    @abstractmethod
    def horizon(self) -> int:
        """The steps of an episode."""

    @abstractmethod
    def place(self, seen: Array) -> Int[Array, ""]:
        """Which of the states is seen."""

    @abstractmethod
    def learn(
        self,
        place: Int[Array, ""],
        action: Int[Array, ""],
        reward: Float[Array, ""],
        following: Int[Array, ""],
        ended: Bool[Array, ""],
    ) -> "AbstractBelief":
        """What is known after one more step. Where the episode ended, nobody saw which state its last action led to."""

    @abstractmethod
    def expected(self) -> Values:
        """What actions are worth if the world is its posterior mean."""

    @abstractmethod
    def drawn(self, key: PRNGKeyArray) -> Values:
        """What actions are worth if the world is one draw from the posterior."""
