"""Posteriors of the arms of a bandit."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.nn import softplus
from jax.scipy.special import expit, logit
from jax.scipy.stats import beta, norm
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs import Bandit, GaussianBandit
from farback.ops.random import log_gamma
from farback.strategies.belief import AbstractBelief, Values


class AbstractArms(AbstractBelief):
    """Posteriors of independent arms. An episode of a bandit is one step, in its only state."""

    @property
    def horizon(self) -> int:
        return 1

    def state_index(self, observation: Any) -> Int[Array, ""]:
        del observation
        return jnp.zeros((), int)

    def expected(self) -> Values:
        return self.mean()[None, None]

    def drawn(self, key: PRNGKeyArray) -> Values:
        return self.sample(key)[None, None]

    @abstractmethod
    def mean(self) -> Float[Array, " arms"]:
        """The posterior mean of the expected reward of each arm."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray) -> Float[Array, " arms"]:
        """A draw of the expected reward of each arm from the posterior."""

    @abstractmethod
    def log_density(self, means: Float[Array, " arms"]) -> Float[Array, ""]:
        """The log density of the posterior at given expected rewards."""

    @abstractmethod
    def pulls(self) -> Float[Array, " arms"]:
        """The number of rewards observed of each arm, including the pseudo-counts of the prior."""

    @abstractmethod
    def upper(self, level: Float[Array, " arms"]) -> Float[Array, " arms"]:
        """The largest expected reward q within a divergence of the posterior mean:

        KL(mean ‖ q) = level,     q ≥ mean
        """


class BernoulliArms(AbstractArms):
    """Beta posteriors: the wins and losses of each arm, including those of the prior."""

    wins: Float[Array, " arms"]
    losses: Float[Array, " arms"]
    prior_counts: tuple[float, float] = eqx.field(static=True, default=(1.0, 1.0))

    @classmethod
    def from_env(cls, env: Bandit) -> "BernoulliArms":
        return cls(jnp.full(env.arms, env.wins), jnp.full(env.arms, env.losses), (env.wins, env.losses))

    def update(self, state, action, reward, next_state, ended):
        del state, next_state, ended
        return BernoulliArms(self.wins.at[action].add(reward), self.losses.at[action].add(1 - reward), self.prior_counts)

    def observed(self) -> tuple[Int[Array, " arms"], Int[Array, " arms"]]:
        """Returns (wins, losses) of each arm, without those of the prior."""
        wins, losses = self.prior_counts
        return jnp.round(self.wins - wins).astype(int), jnp.round(self.losses - losses).astype(int)

    def mean(self):
        return self.wins / (self.wins + self.losses)

    def sample(self, key):
        wins, losses = log_gamma(key, jnp.stack([self.wins, self.losses]))
        return jax.nn.sigmoid(wins - losses)

    def log_density(self, means):
        return beta.logpdf(means, self.wins, self.losses).sum()

    def pulls(self):
        return self.wins + self.losses

    def upper(self, level):
        """Newton's method in z = log(q / (1 − q)), where KL = log(1 + eᶻ) − mean·z + … is convex. After eight steps the
        error is 1e-9 in float64, and 1e-5 in float32 from rounding.
        """
        mean = self.mean()
        centre = logit(mean)
        z = centre + jnp.sqrt(2 * level / (mean * (1 - mean)))
        for _ in range(8):
            slope = expit(z) - mean
            excess = softplus(z) - softplus(centre) - mean * (z - centre) - level
            z = jnp.where(slope > 0, z - excess / jnp.where(slope > 0, slope, 1.0), z)
        return jnp.maximum(expit(z), mean)


class GaussianArms(AbstractArms):
    """Gaussian posteriors N(m, 1 / precision) of arms whose rewards have a known precision."""

    means: Float[Array, " arms"]
    precision: Float[Array, " arms"]
    reward_precision: float = eqx.field(static=True)

    @classmethod
    def from_env(cls, env: GaussianBandit) -> "GaussianArms":
        return cls(jnp.full(env.arms, env.mean), jnp.full(env.arms, env.spread**-2), env.noise**-2)

    def update(self, state, action, reward, next_state, ended):
        del state, next_state, ended
        precision = self.precision.at[action].add(self.reward_precision)
        gain = self.reward_precision / precision[action]
        means = self.means.at[action].add(gain * (reward - self.means[action]))
        return GaussianArms(means, precision, self.reward_precision)

    def mean(self):
        return self.means

    def sample(self, key):
        return self.means + jax.random.normal(key, self.means.shape) / jnp.sqrt(self.precision)

    def log_density(self, means):
        return norm.logpdf(means, self.means, 1 / jnp.sqrt(self.precision)).sum()

    def pulls(self):
        return self.precision / self.reward_precision

    def upper(self, level):
        return self.means + jnp.sqrt(2 * level / self.reward_precision)
