"""Pusher: move to the origin."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.spaces import Box
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs.base import Feedback
from farback.envs.physical import AbstractPhysicalEnv


class PusherState(NamedTuple):
    """The time and the position."""

    time: Int[Array, ""]
    position: Float[Array, ""]


class Pusher(AbstractPhysicalEnv):
    """Move on a line at a speed a in [−1, 1] per second; the reward is exp(−x²) per second.

        x ← x − a dt,      reward = exp(−x²) dt

    Episodes begin at x = N(0, 1), and are truncated after `seconds`.

        optimum = memoryless = dt Σ_k E[exp(−max(|x₀| − k dt, 0)²)], about seconds − 0.26

    **Arguments:**

    - `dt`: the seconds between two steps.
    - `seconds`: the duration of an episode.

    Reference: the code of Tallec, Blier and Ollivier, *Making deep Q-learning methods robust to time discretization*,
    ICML 2019.
    """

    dt: float = 0.1
    seconds: float = 10.0

    @property
    def observation_space(self) -> Box:
        return Box(-math.inf, math.inf, (1,))

    @property
    def action_space(self) -> Box:
        return Box(-1, 1, (1,))

    @property
    def optimum(self) -> float:
        return self.dt * sum(_best_reward(k * self.dt) for k in range(1, self.max_episode_steps + 1))

    @property
    def memoryless(self) -> float:
        return self.optimum

    def reset(self, key: PRNGKeyArray) -> PusherState:
        return PusherState(jnp.zeros((), int), jax.random.normal(key))

    def observe(self, state: PusherState) -> Float[Array, "1"]:
        return state.position[None]

    def step(self, state: PusherState, action: Float[Array, "1"], key: PRNGKeyArray) -> tuple[PusherState, Feedback]:
        del key
        position = state.position - self.dt * jnp.clip(action[0], -1, 1)
        truncated = state.time == self.max_episode_steps - 1
        return PusherState(state.time + 1, position), Feedback(
            self.dt * jnp.exp(-(position**2)), jnp.array(False), truncated
        )

    def render_text(self, state: PusherState) -> str:
        return f"{float(state.position):+.2f}"


def _best_reward(moved: float) -> float:
    """E[exp(−max(|x| − c, 0)²)] for x ~ N(0, 1): the reward per second after a move by c towards the origin."""
    beyond = math.exp(-(moved**2) / 3) * math.erfc(moved / math.sqrt(6)) / math.sqrt(3)
    return math.erf(moved / math.sqrt(2)) + beyond
