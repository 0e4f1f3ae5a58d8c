"""Swing a pendulum up with a torque too small to lift it at once."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs.base import Feedback
from farback.envs.physical import AbstractPhysicalEnv

GRAVITY, MAX_TORQUE, MAX_VELOCITY = 10.0, 2.0, 8.0


class PendulumState(NamedTuple):
    """The time, the angle θ from upright, and the angular velocity θ̇."""

    time: Int[Array, ""]
    angle: Float[Array, ""]
    velocity: Float[Array, ""]


class Pendulum(AbstractPhysicalEnv):
    """Swing a pendulum up, and keep it there, by a torque u in [−2, 2], clipped.

    The dynamics are those of Gymnasium, with mass and length 1:

        θ̇ ← clip(θ̇ + (3 g/2 sin θ + 3 u) dt, −8, 8),      θ ← θ + θ̇ dt
        reward = −(θ² + 0.1 θ̇² + 0.001 u²), of the state before the step, θ in [−π, π)

    An episode is truncated after `seconds`. Observations are cos θ, sin θ and, with `speeds`, θ̇.

        random = −1227 at the default dt and seconds; the optimum is unknown

    **Arguments:**

    - `speeds`: whether the angular velocity is observed.
    - `dt`: the seconds between two steps.
    - `seconds`: the duration of an episode.
    """

    speeds: bool = True
    dt: float = 0.05
    seconds: float = 10.0

    @property
    def observation_space(self) -> Box:
        high = np.array([1, 1, MAX_VELOCITY] if self.speeds else [1, 1], np.float32)
        return Box(-high, high)

    @property
    def action_space(self) -> Box:
        return Box(-MAX_TORQUE, MAX_TORQUE, (1,))

    @property
    def random(self) -> float:
        return -1227.0 if (self.dt, self.seconds) == (0.05, 10) else math.nan

    def reset(self, key: PRNGKeyArray) -> PendulumState:
        angle, velocity = jax.random.uniform(key, (2,), minval=-1.0)
        return PendulumState(jnp.zeros((), int), math.pi * angle, velocity)

    def observe(self, state: PendulumState) -> Float[Array, " size"]:
        numbers = [jnp.cos(state.angle), jnp.sin(state.angle), state.velocity]
        return jnp.stack(numbers if self.speeds else numbers[:2])

    def step(self, state: PendulumState, action: Float[Array, "1"], key: PRNGKeyArray) -> tuple[PendulumState, Feedback]:
        del key
        torque = jnp.clip(action[0], -MAX_TORQUE, MAX_TORQUE)
        angle = (state.angle + math.pi) % (2 * math.pi) - math.pi
        reward = -(angle**2 + 0.1 * state.velocity**2 + 0.001 * torque**2)
        velocity = state.velocity + (1.5 * GRAVITY * jnp.sin(state.angle) + 3 * torque) * self.dt
        velocity = jnp.clip(velocity, -MAX_VELOCITY, MAX_VELOCITY)
        following = PendulumState(state.time + 1, state.angle + self.dt * velocity, velocity)
        return following, Feedback(reward, jnp.array(False), state.time == self.max_episode_steps - 1)

    def render_text(self, state: PendulumState) -> str:
        eighths = round(4 * float(state.angle) / math.pi) % 8
        return f"{'↑↖←↙↓↘→↗'[eighths]} {float(state.velocity):+.1f}"
