"""Find a place that cannot be seen, and return to it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.spaces import Discrete
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs.base import Feedback
from farback.envs.raycast.base import AbstractRaycastEnv, View
from farback.envs.raycast.camera import Pose, Sprites
from farback.envs.raycast.walking import turn_or_walk
from farback.types import InputError

HEADINGS = 12
STRIDE = 0.5
"""The length of a step forward, in blocks."""
RADIUS = 0.75
"""The radius of the platform, in blocks."""


class WatermazeState(NamedTuple):
    """The state.

    - `platform`: the middle of the platform.
    - `position`, `heading`: where the agent is and looks, in twelfths of a circle from the direction of x.
    - `time`: the steps since the beginning.
    """

    platform: Float[Array, "2"]
    position: Float[Array, "2"]
    heading: Int[Array, ""]
    time: Int[Array, ""]


class Watermaze(AbstractRaycastEnv):
    """Finds a hidden platform in a square pool: it cannot be seen, but the walls can, each of which has another texture.
    On the platform the reward is 1, and the agent is put at a random place to find it again; it stays for the episode.

    Actions turn left, turn right, and go forward. An episode is cut off after `horizon` steps.

        optimum = 26.34 by straight ways,      random = 0.70        with the default arguments

    **Arguments:**

    - `size`: the number of blocks along each side of the pool.
    - `horizon`: the number of steps of an episode.
    - `width`, `height`, `field`: the size of the picture in pixels, and the field of view in degrees.

    Reference: Morris, *Spatial localization does not require the presence of local cues*, 1981; a task of DeepMind Lab
    (Beattie et al., 2016).
    """

    size: int = 8
    horizon: int = 300
    width: int = 40
    height: int = 30
    field: float = 90.0
    played = 26.34, 0.70
    lit = 12.0

    def __check_init__(self):
        if self.size < 3 or self.horizon < 1:
            raise InputError(f"Watermaze(size={self.size}, horizon={self.horizon}): give size >= 3 and horizon >= 1.")

    @property
    def action_space(self) -> Discrete:
        return Discrete(3)

    @property
    def max_episode_steps(self) -> int:
        return self.horizon

    def reset(self, key: PRNGKeyArray) -> WatermazeState:
        platform_key, start_key = jax.random.split(key)
        platform = jax.random.uniform(platform_key, (2,), minval=1 + RADIUS, maxval=self.size + 1 - RADIUS)
        return WatermazeState(platform, *self._start(start_key), jnp.zeros((), int))

    def reset_same_world(self, state: WatermazeState, key: PRNGKeyArray) -> WatermazeState:
        return WatermazeState(state.platform, *self._start(key), jnp.zeros((), int))

    def view(self, state: WatermazeState) -> View:
        none = Sprites(jnp.zeros((0, 2)), jnp.zeros(0, int), jnp.zeros(0), jnp.zeros(0, bool))
        return View(self._pool(), Pose.after_turns(state.position, state.heading, HEADINGS), none)

    def step(self, state: WatermazeState, action: Any, key: PRNGKeyArray) -> tuple[WatermazeState, Feedback]:
        position, heading, _ = turn_or_walk(self._pool(), state.position, state.heading, action, HEADINGS, STRIDE)
        found = jnp.linalg.norm(position - state.platform) < RADIUS
        place, turns = self._start(key)
        following = WatermazeState(
            state.platform, jnp.where(found, place, position), jnp.where(found, turns, heading), state.time + 1
        )
        return following, Feedback(found.astype(float), jnp.array(False), following.time >= self.horizon)

    def _pool(self) -> Int[Array, "rows columns"]:
        """The pool, whose four walls have four textures."""
        pool = jnp.zeros((self.size + 2, self.size + 2), int)
        return pool.at[:, 0].set(1).at[:, -1].set(9).at[0].set(17).at[-1].set(4)

    def _start(self, key):
        """A random place and a random direction."""
        place_key, heading_key = jax.random.split(key)
        place = jax.random.uniform(place_key, (2,), minval=1.5, maxval=self.size + 0.5)
        return place, jax.random.randint(heading_key, (), 0, HEADINGS)
