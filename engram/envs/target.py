"""2D target: a place that is shown once, to be found again."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from engram.envs.base import AbstractEnv, Feedback
from engram.types import InputError

WALL, RADIUS = 5.0, 2.0
"""Of the square, half a side; of the disc, which lies within the square."""


class Swim(NamedTuple):
    """The time, where the swimmer is, how fast, and where the target's centre is."""

    time: Int[Array, ""]
    place: Float[Array, "2"]
    speed: Float[Array, "2"]
    centre: Float[Array, "2"]


class Target(AbstractEnv):
    """A disc in a square, whose centre is shown in the first of H steps; each step that ends within it is rewarded by 1.

        velocity   p ← clip(p + a, −5, 5)                                  a clipped to [−1, 1]² in both
        force      v ← clip(v + a, −1, 1),  p ← clip(p + v, −5, 5)

    The centre is uniform in [−3, 3]², the start in [−5, 5]², and the radius is 2. Observed are x, y, whether this is within
    the disc, the time, and the centre at the first step, zeros afterwards. With velocities the best is to go straight
    there; the best that is known without memory is to go to the middle, and to stay wherever the disc is met.

        optimum = 23.37,      memoryless = 12.49,      random = 2.94        velocity, H = 25; unknown otherwise

    **Arguments:**

    - `force`: whether actions are forces, which velocities outlive, rather than velocities.
    - `horizon`: H.

    Reference: Pong, Gu and Levine, *Learning long-term dependencies with deep memory states*, 2017, whose figures are of
    velocities.
    """

    force: bool = False
    horizon: int = 25

    def __check_init__(self):
        if self.horizon < 1:
            raise InputError(f"Target(horizon={self.horizon}): give horizon >= 1.")

    @property
    def observation_space(self) -> Box:
        low = np.array([-WALL, -WALL, 0, 0, -WALL, -WALL], np.float32)
        return Box(low, np.array([WALL, WALL, 1, self.horizon, WALL, WALL], np.float32))

    @property
    def action_space(self) -> Box:
        return Box(-1.0, 1.0, (2,))

    @property
    def steps(self) -> int:
        return self.horizon

    @property
    def optimum(self) -> float:
        return 23.37 if self._known else math.nan

    @property
    def memoryless(self) -> float:
        return 12.49 if self._known else math.nan

    @property
    def random(self) -> float:
        return 2.94 if self._known else math.nan

    @property
    def _known(self) -> bool:
        return self.horizon == 25 and not self.force

    def reset(self, key: PRNGKeyArray) -> Swim:
        place, centre = jax.random.uniform(key, (2, 2), minval=-1.0)
        return Swim(jnp.zeros((), int), WALL * place, jnp.zeros(2), (WALL - RADIUS) * centre)

    def observe(self, state: Swim) -> Float[Array, "6"]:
        time = state.time.astype(float)
        hint = jnp.where(state.time == 0, state.centre, 0.0)
        return jnp.concatenate([state.place, self._within(state)[None], time[None], hint])

    def step(self, state: Swim, action: Float[Array, "2"], key: PRNGKeyArray) -> tuple[Swim, Feedback]:
        del key
        push = jnp.clip(action, -1, 1)
        speed = jnp.clip(state.speed + push, -1, 1) if self.force else push
        place = jnp.clip(state.place + speed, -WALL, WALL)
        following = Swim(state.time + 1, place, speed, state.centre)
        return following, Feedback(self._within(following), following.time == self.horizon, jnp.array(False))

    def cue(self, state: Swim) -> Bool[Array, ""]:
        return state.time == 0

    def text(self, state: Swim) -> str:
        (x, y), (right, up) = state.place, state.centre - state.place
        there = "within" if self._within(state) else f"{math.hypot(right, up):.1f} from the centre"
        return f"at {x:+.1f} {y:+.1f}, {there}"

    @staticmethod
    def _within(state: Swim) -> Float[Array, ""]:
        return (jnp.sum((state.place - state.centre) ** 2) <= RADIUS**2).astype(float)
