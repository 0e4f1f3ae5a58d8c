"""2D target: move to a place that only the first observation shows."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from farback.envs.base import AbstractEnv, Feedback
from farback.types import InputError

WALL, RADIUS = 5.0, 2.0
"""Half a side of the square, and the radius of the disc within it."""


class TargetState(NamedTuple):
    """The time, the position and the velocity of the agent, and the centre of the target."""

    time: Int[Array, ""]
    position: Float[Array, "2"]
    velocity: Float[Array, "2"]
    centre: Float[Array, "2"]


class Target(AbstractEnv):
    """The first of H steps shows the centre of a disc in a square; each step that ends within the disc has reward 1.

        velocity   p ← clip(p + a, −5, 5)                                  a clipped to [−1, 1]² in both
        force      v ← clip(v + a, −1, 1),  p ← clip(p + v, −5, 5)

    The centre is uniform in [−3, 3]², the start in [−5, 5]², and the radius is 2. Observations are x, y, whether (x, y) is
    within the disc, the time, and the centre at the first step, zeros afterwards. With velocities the best policy goes
    straight there; the best memoryless policy known goes to the middle, and stays where it meets the disc.

        optimum = 23.37,      memoryless = 12.49,      random = 2.94        velocity, H = 25; unknown otherwise

    **Arguments:**

    - `force`: whether actions are forces, which change the velocity, instead of velocities.
    - `horizon`: H, the number of steps of an episode.

    Reference: Pong, Gu and Levine, *Learning long-term dependencies with deep memory states*, 2017, whose figures use
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
    def max_episode_steps(self) -> int:
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

    def reset(self, key: PRNGKeyArray) -> TargetState:
        position, centre = jax.random.uniform(key, (2, 2), minval=-1.0)
        return TargetState(jnp.zeros((), int), WALL * position, jnp.zeros(2), (WALL - RADIUS) * centre)

    def observe(self, state: TargetState) -> Float[Array, "6"]:
        time = state.time.astype(float)
        hint = jnp.where(state.time == 0, state.centre, 0.0)
        return jnp.concatenate([state.position, self._within(state)[None], time[None], hint])

    def step(self, state: TargetState, action: Float[Array, "2"], key: PRNGKeyArray) -> tuple[TargetState, Feedback]:
        del key
        push = jnp.clip(action, -1, 1)
        velocity = jnp.clip(state.velocity + push, -1, 1) if self.force else push
        position = jnp.clip(state.position + velocity, -WALL, WALL)
        following = TargetState(state.time + 1, position, velocity, state.centre)
        return following, Feedback(self._within(following), following.time == self.horizon, jnp.array(False))

    def cue(self, state: TargetState) -> Bool[Array, ""]:
        return state.time == 0

    def render_text(self, state: TargetState) -> str:
        (x, y), (right, up) = state.position, state.centre - state.position
        distance = "within" if self._within(state) else f"{math.hypot(right, up):.1f} from the centre"
        return f"at {x:+.1f} {y:+.1f}, {distance}"

    @staticmethod
    def _within(state: TargetState) -> Float[Array, ""]:
        return (jnp.sum((state.position - state.centre) ** 2) <= RADIUS**2).astype(float)
