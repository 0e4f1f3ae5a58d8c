"""DoublePole: balance two poles of different lengths on one cart."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs.base import Feedback
from farback.envs.physical import AbstractPhysicalEnv
from farback.envs.text import track

GRAVITY, CART_MASS, FORCE = 9.8, 1.0, 10.0
"""Gravity, the mass of the cart, and the largest force."""
POLE_MASSES, HALF_LENGTHS = (0.1, 0.01), (0.5, 0.05)
"""The mass of each pole, and half of its length."""
CART_FRICTION, POLE_FRICTION = 5e-4, 2e-6
"""The coefficients of friction between cart and track, and of the hinges."""
MAX_POSITION, MAX_ANGLE = 2.4, 36 * math.pi / 180
"""The bounds of |x| and |θ|, beyond which an episode ends."""
START = 4.5 * math.pi / 180
"""The largest angle of the long pole in the beginning."""
LONGEST_STEP = 0.01
"""The longest step of the integration, in seconds."""
SCALES = (MAX_POSITION, 1.5, MAX_ANGLE, MAX_ANGLE, 2.0, 2.0)
"""The unit in which each observation is given."""


class DoublePoleState(NamedTuple):
    """The time, and (x, ẋ, θ₁, θ₂, θ̇₁, θ̇₂): the cart, and the angles of the poles from upright."""

    time: Int[Array, ""]
    physics: Float[Array, "6"]


class DoublePole(AbstractPhysicalEnv):
    """Keep two poles upright on a cart, one of 1 m and one of 10 cm, by a force F of up to 10 N: 10 times the action. Each
    step has the reward 1, until a pole falls.

        ẍ = (F − μ_c sgn ẋ + Σ_i F_i) / (M + Σ_i m_i (1 − ¾ cos² θ_i))
        θ̈_i = −3/(4 l_i) (ẍ cos θ_i − g sin θ_i + μ_p θ̇_i / (m_i l_i))
        F_i = m_i l_i θ̇_i² sin θ_i + ¾ m_i cos θ_i (μ_p θ̇_i / (m_i l_i) − g sin θ_i)

    by the Runge-Kutta method of fourth order, in steps of at most 0.01 seconds. The long pole begins at up to 4.5° from
    upright, and all else at 0. An episode ends at |x| > 2.4 or |θ_i| > 36°, and is truncated after `seconds`.

    Without `speeds`, only x, θ₁ and θ₂ are observed. The poles have different frequencies, and the velocities must be
    inferred with memory: the classic benchmark of evolved recurrent networks.

        optimum = seconds / dt at dt <= 0.02;      random = 10.9 at the default dt, from 200 steps on

    **Arguments:**

    - `speeds`: whether velocities are observed.
    - `dt`: the seconds between two steps.
    - `seconds`: the longest duration of an episode; 20 are 1,000 steps.

    Reference: Wieland, *Evolving neural network controllers for unstable systems*, IJCNN 1991; Gomez and Miikkulainen,
    *Solving non-Markovian control tasks with neuro-evolution*, IJCAI 1999.
    """

    speeds: bool = True
    dt: float = 0.02
    seconds: float = 20.0

    @property
    def observation_space(self) -> Box:
        high = np.array([1, np.inf, 1, 1, np.inf, np.inf], np.float32) if self.speeds else np.ones(3, np.float32)
        return Box(-2 * high, 2 * high)

    @property
    def action_space(self) -> Box:
        return Box(-1, 1, (1,))

    @property
    def optimum(self) -> float:
        return float(self.max_episode_steps) if self.dt <= 0.02 else math.nan

    @property
    def memoryless(self) -> float:
        return self.optimum if self.speeds else math.nan

    @property
    def random(self) -> float:
        return 10.9 if self.dt == 0.02 and self.max_episode_steps >= 200 else math.nan

    def reset(self, key: PRNGKeyArray) -> DoublePoleState:
        angle = jax.random.uniform(key, minval=-START, maxval=START)
        return DoublePoleState(jnp.zeros((), int), jnp.zeros(6).at[2].set(angle))

    def observe(self, state: DoublePoleState) -> Float[Array, " size"]:
        scaled = state.physics / jnp.array(SCALES)
        return scaled if self.speeds else scaled[jnp.array([0, 2, 3])]

    def step(
        self, state: DoublePoleState, action: Float[Array, "1"], key: PRNGKeyArray
    ) -> tuple[DoublePoleState, Feedback]:
        del key
        count = math.ceil(self.dt / LONGEST_STEP - 1e-9)
        force, physics = FORCE * jnp.clip(action[0], -1, 1), state.physics
        for _ in range(count):
            physics = _integrated(physics, force, self.dt / count)
        fallen = (jnp.abs(physics[0]) > MAX_POSITION) | jnp.any(jnp.abs(physics[2:4]) > MAX_ANGLE)
        truncated = ~fallen & (state.time == self.max_episode_steps - 1)
        return DoublePoleState(state.time + 1, physics), Feedback(jnp.ones(()), fallen, truncated)

    def render_text(self, state: DoublePoleState) -> str:
        position, *angles = (float(state.physics[index]) for index in (0, 2, 3))
        shown = track(int(1000 * (position + MAX_POSITION)), int(2000 * MAX_POSITION), "▄")
        return shown + "".join(f" {math.degrees(angle):+.1f}°" for angle in angles)


def _rates(physics: Float[Array, "6"], force: Float[Array, ""]) -> Float[Array, "6"]:
    """The derivative of (x, ẋ, θ₁, θ₂, θ̇₁, θ̇₂) in time."""
    velocity, angles, spins = physics[1], physics[2:4], physics[4:]
    masses, lengths = jnp.array(POLE_MASSES), jnp.array(HALF_LENGTHS)
    sines, cosines = jnp.sin(angles), jnp.cos(angles)
    hinges = POLE_FRICTION * spins / (masses * lengths) - GRAVITY * sines
    forces = masses * lengths * spins**2 * sines + 0.75 * masses * cosines * hinges
    mass = CART_MASS + jnp.sum(masses * (1 - 0.75 * cosines**2))
    acceleration = (force - CART_FRICTION * jnp.sign(velocity) + jnp.sum(forces)) / mass
    turning = -0.75 / lengths * (acceleration * cosines + hinges)
    return jnp.concatenate([jnp.stack([velocity, acceleration]), spins, turning])


def _integrated(physics: Float[Array, "6"], force: Float[Array, ""], seconds: float) -> Float[Array, "6"]:
    """The physics after a step of the Runge-Kutta method of fourth order."""
    one = _rates(physics, force)
    two = _rates(physics + seconds / 2 * one, force)
    three = _rates(physics + seconds / 2 * two, force)
    four = _rates(physics + seconds * three, force)
    return physics + seconds / 6 * (one + 2 * two + 2 * three + four)
