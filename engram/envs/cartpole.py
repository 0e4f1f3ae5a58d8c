"""A pole on a cart."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Array, Float, Int, PRNGKeyArray

from engram.envs.base import AbstractEnv, Feedback
from engram.envs.text import track
from engram.types import InputError

GRAVITY, CART, POLE, HALF, PUSH = 9.8, 1.0, 0.1, 0.5, 10.0
"""Gravity, the masses of cart and pole, half the length of the pole, and the force of an action."""
EDGE, TILT = 2.4, 12 * math.pi / 180
"""Where the cart has left the track, and where the pole has fallen."""


class Balance(NamedTuple):
    """The time; the place and speed of the cart, the angle and angular speed of the pole."""

    time: Int[Array, ""]
    moves: Float[Array, "4"]


class CartPole(AbstractEnv):
    """Keep a pole upright on a cart by pushing it left (0) or right (1); each step is rewarded by 1, until the pole falls.

    The dynamics are Gymnasium's, by Euler's method:

        θ̈ = (g sin θ − cos θ (F + m l θ̇² sin θ) / M) / (l (4/3 − m cos² θ / M)),      M = m_cart + m
        ẍ = (F + m l θ̇² sin θ) / M − m l θ̈ cos θ / M

    An episode ends at |x| > 2.4 or |θ| > 12°, and is truncated after H steps. Without speeds, x and θ alone are seen, and
    speeds are to be found by memory.

        optimum = H at the usual time step;      random = 22.2 at H >= 200

    **Arguments:**

    - `speeds`: whether speeds are seen.
    - `dt`: the time between two steps, in seconds.
    - `horizon`: H.

    Reference: Barto, Sutton and Anderson, *Neuronlike adaptive elements that can solve difficult learning control
    problems*, 1983.
    """

    speeds: bool = True
    dt: float = 0.02
    horizon: int = 500

    def __check_init__(self):
        if not 0 < self.dt < math.inf or self.horizon < 1:
            raise InputError(f"CartPole(dt={self.dt}, horizon={self.horizon}): give dt > 0, and horizon >= 1.")

    @property
    def observation_space(self) -> Box:
        high = np.array([2 * EDGE, np.inf, 2 * TILT, np.inf], np.float32)
        high = high if self.speeds else high[::2]
        return Box(-high, high)

    @property
    def action_space(self) -> Discrete:
        return Discrete(2)

    @property
    def steps(self) -> int:
        return self.horizon

    @property
    def optimum(self) -> float:
        return float(self.horizon) if self.dt == 0.02 else math.nan

    @property
    def memoryless(self) -> float:
        return self.optimum if self.speeds else math.nan

    @property
    def random(self) -> float:
        return 22.2 if self.dt == 0.02 and self.horizon >= 200 else math.nan

    def reset(self, key: PRNGKeyArray) -> Balance:
        return Balance(jnp.zeros((), int), jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05))

    def observe(self, state: Balance) -> Float[Array, " seen"]:
        return state.moves if self.speeds else state.moves[::2]

    def step(self, state: Balance, action: Int[Array, ""], key: PRNGKeyArray) -> tuple[Balance, Feedback]:
        del key
        _, v, angle, spin = state.moves
        mass = CART + POLE
        push = (jnp.where(action == 1, PUSH, -PUSH) + POLE * HALF * spin**2 * jnp.sin(angle)) / mass
        turn = (GRAVITY * jnp.sin(angle) - jnp.cos(angle) * push) / (HALF * (4 / 3 - POLE * jnp.cos(angle) ** 2 / mass))
        drive = push - POLE * HALF * turn * jnp.cos(angle) / mass
        moves = state.moves + self.dt * jnp.stack([v, drive, spin, turn])
        fallen = (jnp.abs(moves[0]) > EDGE) | (jnp.abs(moves[2]) > TILT)
        truncated = ~fallen & (state.time == self.horizon - 1)
        return Balance(state.time + 1, moves), Feedback(jnp.ones(()), fallen, truncated)

    def text(self, state: Balance) -> str:
        place, angle = float(state.moves[0]), float(state.moves[2])
        pole = "╲" if angle < -TILT / 4 else "╱" if angle > TILT / 4 else "│"
        return f"{track(int(1000 * (place + EDGE)), int(2000 * EDGE), pole)} {math.degrees(angle):+.1f}°"
