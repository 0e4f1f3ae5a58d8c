"""A pendulum that is too heavy to be lifted at once."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Array, Float, Int, PRNGKeyArray

from engram.envs.base import AbstractEnv, Feedback
from engram.types import InputError

GRAVITY, TORQUE, FASTEST = 10.0, 2.0, 8.0


class Swing(NamedTuple):
    """The time, the angle from upright, and the angular speed."""

    time: Int[Array, ""]
    angle: Float[Array, ""]
    spin: Float[Array, ""]


class Pendulum(AbstractEnv):
    """Swing a pendulum up, and keep it there, by a torque u in [−2, 2], clipped.

    The dynamics are Gymnasium's, of mass and length 1:

        θ̇ ← clip(θ̇ + (3 g/2 sin θ + 3 u) dt, −8, 8),      θ ← θ + θ̇ dt
        reward = −(θ² + 0.1 θ̇² + 0.001 u²), of the state before, θ in [−π, π)

    An episode is truncated after H steps. Observed are cos θ, sin θ and, if speeds are seen, θ̇.

        random = −1227 at the usual dt and H; the optimum is unknown

    **Arguments:**

    - `speeds`: whether the angular speed is seen.
    - `dt`: the time between two steps, in seconds.
    - `horizon`: H.
    """

    speeds: bool = True
    dt: float = 0.05
    horizon: int = 200

    def __check_init__(self):
        if not 0 < self.dt < math.inf or self.horizon < 1:
            raise InputError(f"Pendulum(dt={self.dt}, horizon={self.horizon}): give dt > 0, and horizon >= 1.")

    @property
    def observation_space(self) -> Box:
        high = np.array([1, 1, FASTEST] if self.speeds else [1, 1], np.float32)
        return Box(-high, high)

    @property
    def action_space(self) -> Box:
        return Box(-TORQUE, TORQUE, (1,))

    @property
    def steps(self) -> int:
        return self.horizon

    @property
    def random(self) -> float:
        return -1227.0 if (self.dt, self.horizon) == (0.05, 200) else math.nan

    def reset(self, key: PRNGKeyArray) -> Swing:
        angle, spin = jax.random.uniform(key, (2,), minval=-1.0)
        return Swing(jnp.zeros((), int), math.pi * angle, spin)

    def observe(self, state: Swing) -> Float[Array, " seen"]:
        seen = [jnp.cos(state.angle), jnp.sin(state.angle), state.spin]
        return jnp.stack(seen if self.speeds else seen[:2])

    def step(self, state: Swing, action: Float[Array, "1"], key: PRNGKeyArray) -> tuple[Swing, Feedback]:
        del key
        torque = jnp.clip(action[0], -TORQUE, TORQUE)
        angle = (state.angle + math.pi) % (2 * math.pi) - math.pi
        reward = -(angle**2 + 0.1 * state.spin**2 + 0.001 * torque**2)
        spin = state.spin + (1.5 * GRAVITY * jnp.sin(state.angle) + 3 * torque) * self.dt
        spin = jnp.clip(spin, -FASTEST, FASTEST)
        following = Swing(state.time + 1, state.angle + self.dt * spin, spin)
        return following, Feedback(reward, jnp.array(False), state.time == self.horizon - 1)

    def text(self, state: Swing) -> str:
        eighths = round(4 * float(state.angle) / math.pi) % 8
        return f"{'↑↖←↙↓↘→↗'[eighths]} {float(state.spin):+.1f}"
