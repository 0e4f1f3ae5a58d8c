"""CartPole: balance a pole on a cart."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs.base import Feedback
from farback.envs.physical import AbstractPhysicalEnv
from farback.envs.text import track

GRAVITY, CART_MASS, POLE_MASS, HALF_LENGTH, FORCE = 9.8, 1.0, 0.1, 0.5, 10.0
"""Gravity, the masses of cart and pole, half the length of the pole, and the force of an action."""
MAX_POSITION, MAX_ANGLE = 2.4, 12 * math.pi / 180
"""The bounds of |x| and |θ|, beyond which an episode ends."""


class CartPoleState(NamedTuple):
    """The time, and (x, ẋ, θ, θ̇): position and velocity of the cart, angle and angular velocity of the pole."""

    time: Int[Array, ""]
    physics: Float[Array, "4"]


class CartPole(AbstractPhysicalEnv):
    """Keep a pole upright on a cart by pushing it left (0) or right (1); each step has the reward 1, until the pole falls.

    The dynamics are those of Gymnasium, by Euler's method:

        θ̈ = (g sin θ − cos θ (F + m l θ̇² sin θ) / M) / (l (4/3 − m cos² θ / M)),      M = m_cart + m
        ẍ = (F + m l θ̇² sin θ) / M − m l θ̈ cos θ / M

    An episode ends at |x| > 2.4 or |θ| > 12°, and is truncated after `seconds`. Without `speeds`, only x and θ are
    observed, and velocities must be inferred with memory.

        optimum = seconds / dt at the default dt;      random = 22.2 from 200 steps on

    **Arguments:**

    - `speeds`: whether velocities are observed.
    - `dt`: the seconds between two steps.
    - `seconds`: the longest duration of an episode; 10 are 500 steps.

    Reference: Barto, Sutton and Anderson, *Neuronlike adaptive elements that can solve difficult learning control
    problems*, 1983.
    """

    speeds: bool = True
    dt: float = 0.02
    seconds: float = 10.0

    @property
    def observation_space(self) -> Box:
        high = np.array([2 * MAX_POSITION, np.inf, 2 * MAX_ANGLE, np.inf], np.float32)
        high = high if self.speeds else high[::2]
        return Box(-high, high)

    @property
    def action_space(self) -> Discrete:
        return Discrete(2)

    @property
    def optimum(self) -> float:
        return float(self.max_episode_steps) if self.dt == 0.02 else math.nan

    @property
    def memoryless(self) -> float:
        return self.optimum if self.speeds else math.nan

    @property
    def random(self) -> float:
        return 22.2 if self.dt == 0.02 and self.max_episode_steps >= 200 else math.nan

    def reset(self, key: PRNGKeyArray) -> CartPoleState:
        return CartPoleState(jnp.zeros((), int), jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05))

    def observe(self, state: CartPoleState) -> Float[Array, " size"]:
        return state.physics if self.speeds else state.physics[::2]

    def step(self, state: CartPoleState, action: Int[Array, ""], key: PRNGKeyArray) -> tuple[CartPoleState, Feedback]:
        del key
        _, velocity, angle, spin = state.physics
        mass, moment = CART_MASS + POLE_MASS, POLE_MASS * HALF_LENGTH
        push = (jnp.where(action == 1, FORCE, -FORCE) + moment * spin**2 * jnp.sin(angle)) / mass
        inertia = HALF_LENGTH * (4 / 3 - POLE_MASS * jnp.cos(angle) ** 2 / mass)
        spin_rate = (GRAVITY * jnp.sin(angle) - jnp.cos(angle) * push) / inertia
        acceleration = push - moment * spin_rate * jnp.cos(angle) / mass
        physics = state.physics + self.dt * jnp.stack([velocity, acceleration, spin, spin_rate])
        fallen = (jnp.abs(physics[0]) > MAX_POSITION) | (jnp.abs(physics[2]) > MAX_ANGLE)
        truncated = ~fallen & (state.time == self.max_episode_steps - 1)
        return CartPoleState(state.time + 1, physics), Feedback(jnp.ones(()), fallen, truncated)

    def render_text(self, state: CartPoleState) -> str:
        position, angle = float(state.physics[0]), float(state.physics[2])
        pole = "╲" if angle < -MAX_ANGLE / 4 else "╱" if angle > MAX_ANGLE / 4 else "│"
        return f"{track(int(1000 * (position + MAX_POSITION)), int(2000 * MAX_POSITION), pole)} {math.degrees(angle):+.1f}°"
