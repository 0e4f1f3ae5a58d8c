"""Bandits: arms whose mean rewards are drawn for each world."""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from farback.envs.base import AbstractEnv, Feedback
from farback.ops.random import normal, unit
from farback.types import InputError


class BanditState(NamedTuple):
    """The seed of this world. The mean of an arm is drawn from it when needed."""

    world: UInt32[Array, "2"]


class AbstractBandit(AbstractEnv):
    """k arms; an episode is one pull of one arm. The observation is always 0.

    Episodes in the same world (`Trials`) share the arms.
    """

    arms: eqx.AbstractVar[int]

    def __check_init__(self):
        if self.arms < 1:
            raise InputError(f"{type(self).__name__}(arms={self.arms}): a bandit has at least one arm; give arms >= 1.")

    @property
    def observation_space(self) -> Box:
        return Box(0, 1, (1,))

    @property
    def action_space(self) -> Discrete:
        return Discrete(self.arms)

    @property
    def max_episode_steps(self) -> int:
        return 1

    @property
    def optimum(self) -> float:
        return self.memoryless

    @property
    def random(self) -> float:
        return self.memoryless

    def means(self, state: BanditState) -> Float[Array, " arms"]:
        """Returns the expected reward of each arm."""
        return jax.vmap(lambda arm: self._mean(_of_arm(state, arm)))(jnp.arange(self.arms))

    def reset(self, key: PRNGKeyArray) -> BanditState:
        return BanditState(jax.random.key_data(key))

    def reset_same_world(self, state: BanditState, key: PRNGKeyArray) -> BanditState:
        del key
        return state

    def observe(self, state: BanditState) -> Float[Array, "1"]:
        del state
        return jnp.zeros(1)

    def step(self, state: BanditState, action: Int[Array, ""], key: PRNGKeyArray) -> tuple[BanditState, Feedback]:
        reward = self._reward(self._mean(_of_arm(state, action)), jax.random.key_data(key)[0])
        return state, Feedback(reward, jnp.array(True), jnp.array(False))

    @abstractmethod
    def _mean(self, key: PRNGKeyArray) -> Float[Array, ""]:
        """Returns the mean of an arm: a draw from the prior."""

    @abstractmethod
    def _reward(self, mean: Float[Array, ""], word: UInt32[Array, ""]) -> Float[Array, ""]:
        """Returns the reward of one pull of an arm with this mean."""

    def render_text(self, state: BanditState) -> str:
        return " ".join(f"{mean:.2f}" for mean in np.asarray(self.means(state)))


def _of_arm(state: BanditState, arm: Int[Array, ""]) -> PRNGKeyArray:
    return jax.random.fold_in(jax.random.wrap_key_data(state.world), arm)


class Bandit(AbstractBandit):
    """Arms that pay 0 or 1: arm i pays 1 with probability p_i ~ Beta(α, β), by default uniform.

        optimum = memoryless = random = α / (α + β)        of one pull; with known p_i it is k / (k + 1), if α = β = 1

    **Arguments:**

    - `arms`: k, the number of arms.
    - `wins`, `losses`: α and β of the prior.

    Reference: Robbins, *Some aspects of the sequential design of experiments*, 1952.
    """

    arms: int
    wins: float = 1.0
    losses: float = 1.0

    def __check_init__(self):
        if not (self.wins > 0 and self.losses > 0):
            raise InputError(
                f"Bandit(wins={self.wins}, losses={self.losses}): a Beta distribution needs positive parameters; give "
                f"numbers above 0."
            )

    @property
    def memoryless(self) -> float:
        return self.wins / (self.wins + self.losses)

    def _mean(self, key):
        uniform = self.wins == self.losses == 1
        return unit(jax.random.key_data(key)[0]) if uniform else jax.random.beta(key, self.wins, self.losses)

    def _reward(self, mean, word):
        return (unit(word) < mean).astype(float)


class GaussianBandit(AbstractBandit):
    """Arms that pay N(μ_i, σ²), with μ_i ~ N(m, s²).

        optimum = memoryless = random = m        of one pull

    **Arguments:**

    - `arms`: the number of arms.
    - `mean`, `spread`: m and s, the mean and the standard deviation of the prior.
    - `noise`: σ, the standard deviation of rewards.
    """

    arms: int
    mean: float = 0.0
    spread: float = 1.0
    noise: float = 1.0

    def __check_init__(self):
        if not (self.spread > 0 and self.noise > 0):
            raise InputError(
                f"GaussianBandit(spread={self.spread}, noise={self.noise}): these are standard deviations; give numbers "
                f"above 0."
            )

    @property
    def memoryless(self) -> float:
        return self.mean

    def _mean(self, key):
        return self.mean + self.spread * normal(jax.random.key_data(key)[0])

    def _reward(self, mean, word):
        return mean + self.noise * normal(word)
