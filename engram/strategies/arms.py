"""What is known of the arms of a bandit."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from engram.envs import Bandit, GaussianBandit
from engram.strategies.belief import AbstractBelief, Values


class AbstractArms(AbstractBelief):
    """Arms that are independent of each other: a bandit's episode is one step, in its only state."""

    @property
    def horizon(self) -> int:
        return 1

    def place(self, seen: Any) -> Int[Array, ""]:
        del seen
        return jnp.zeros((), int)

    def expected(self) -> Values:
        return self.mean()[None, None]

    def drawn(self, key: PRNGKeyArray) -> Values:
        return self.sample(key)[None, None]

    @abstractmethod
    def mean(self) -> Float[Array, " arms"]:
        """The posterior mean of what each arm is worth."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray) -> Float[Array, " arms"]:
        """A draw of what each arm is worth."""


class BernoulliArms(AbstractArms):
    """Beta posteriors: wins and losses of each arm, those of the prior included."""

    wins: Float[Array, " arms"]
    losses: Float[Array, " arms"]

    @classmethod
    def of(cls, env: Bandit) -> "BernoulliArms":
        return cls(jnp.full(env.arms, env.wins), jnp.full(env.arms, env.losses))

    def learn(self, place, action, reward, following, ended):
        del place, following, ended
        return BernoulliArms(self.wins.at[action].add(reward), self.losses.at[action].add(1 - reward))

    def mean(self):
        return self.wins / (self.wins + self.losses)

    def sample(self, key):
        return jax.random.beta(key, self.wins, self.losses)


class GaussianArms(AbstractArms):
    """Gaussian posteriors N(m, 1 / precision), of arms whose rewards have a known precision."""

    means: Float[Array, " arms"]
    precision: Float[Array, " arms"]
    of_reward: float = eqx.field(static=True)

    @classmethod
    def of(cls, env: GaussianBandit) -> "GaussianArms":
        return cls(jnp.full(env.arms, env.mean), jnp.full(env.arms, env.spread**-2), env.noise**-2)

    def learn(self, place, action, reward, following, ended):
        del place, following, ended
        precision = self.precision.at[action].add(self.of_reward)
        gain = self.of_reward / precision[action]
        return GaussianArms(self.means.at[action].add(gain * (reward - self.means[action])), precision, self.of_reward)

    def mean(self):
        return self.means

    def sample(self, key):
        return self.means + jax.random.normal(key, self.means.shape) / jnp.sqrt(self.precision)
