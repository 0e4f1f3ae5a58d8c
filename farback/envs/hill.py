"""Hill: stay on the slope before the point of no return."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.spaces import Box, Discrete
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs.base import Feedback
from farback.envs.physical import AbstractPhysicalEnv
from farback.envs.text import track

NO_RETURN = -0.25
"""The position from which on every action moves left."""


class HillState(NamedTuple):
    """The time and the position."""

    time: Int[Array, ""]
    position: Float[Array, ""]


class Hill(AbstractPhysicalEnv):
    """Move on a line at a speed of 1 per second, left (0) or right (1). Where x < 0 the reward is 1 per second.

    Between −1 and −0.25 every action moves left, and an episode ends at −1: the best policy stays between −0.25 and 0.
    Episodes begin at x = N(0, 1) clipped to [0, 1], and x never exceeds 1. An episode is truncated after `seconds`.

        optimum = memoryless = seconds − E[⌊x₀ / dt⌋ dt], about seconds − 0.32, at dt <= 0.125

    **Arguments:**

    - `dt`: the seconds between two steps.
    - `seconds`: the longest duration of an episode.

    Reference: the code of Tallec, Blier and Ollivier, *Making deep Q-learning methods robust to time discretization*,
    ICML 2019.
    """

    dt: float = 0.1
    seconds: float = 10.0

    @property
    def observation_space(self) -> Box:
        return Box(-2, 2, (1,))

    @property
    def action_space(self) -> Discrete:
        return Discrete(2)

    @property
    def optimum(self) -> float:
        if 2 * self.dt > -NO_RETURN:
            return math.nan  # two neighbouring positions of the slope are needed to stay on it
        steps = math.floor(1 / self.dt + 1e-6)
        waiting = sum(_above(k * self.dt) for k in range(1, steps + 1))  # E⌊x₀/dt⌋ = Σ_k P(x₀ ≥ k dt)
        return self.dt * (self.max_episode_steps - waiting)

    @property
    def memoryless(self) -> float:
        return self.optimum

    def reset(self, key: PRNGKeyArray) -> HillState:
        return HillState(jnp.zeros((), int), jnp.clip(jax.random.normal(key), 0, 1))

    def observe(self, state: HillState) -> Float[Array, "1"]:
        return state.position[None]

    def step(self, state: HillState, action: Int[Array, ""], key: PRNGKeyArray) -> tuple[HillState, Feedback]:
        del key
        right = (action == 1) & (state.position >= NO_RETURN)
        position = jnp.minimum(state.position + jnp.where(right, self.dt, -self.dt), 1)
        fallen = position <= -1
        reward = self.dt * (position < 0).astype(position.dtype)
        truncated = ~fallen & (state.time == self.max_episode_steps - 1)
        return HillState(state.time + 1, position), Feedback(reward, fallen, truncated)

    def render_text(self, state: HillState) -> str:
        return track(int(1000 * (float(state.position) + 1)), 2000, "●")


def _above(position: float) -> float:
    """The probability that an episode begins at a position or to its right, for 0 < position <= 1."""
    return math.erfc(position / math.sqrt(2)) / 2
