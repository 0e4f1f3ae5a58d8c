"""Drive a car around a random track, seen from above."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt8

from farback.envs.base import AbstractEnv, Feedback
from farback.envs.car_racing.car import FRAME, Car, drive, wheels
from farback.envs.car_racing.contact import touching
from farback.envs.car_racing.picture import picture
from farback.envs.car_racing.track import MOST_TILES, PLAYFIELD, Track, draw_track
from farback.types import InputError

LARGE = 384
"""The size in pixels of a picture for people."""
FRAME_COST, LOST = 0.1, -100.0
LEAST_SIZE = 16
OPTIMUM, RANDOM = 909.6, -31.9
"""The mean returns of `follow_road` and of random play with the default `repeat` and `horizon`."""


class CarRacingState(NamedTuple):
    """The track, which of its tiles were visited, the car, and the frames since the beginning."""

    track: Track
    visited: Bool[Array, " tiles"]
    car: Car
    time: Int[Array, ""]


class CarRacing(AbstractEnv):
    """Drives a car around a random track, seen from above. A picture follows the car, which looks up in it.

    An action is the steering, from −1 (left) to 1, the gas and the brake, from 0 to 1; they are clipped. With N the number
    of tiles of the track, about 295, a frame of 1/50 s has

        reward = 1000 / N for each tile that a wheel touches for the first time, −0.1,
                 or −100 in all where the car leaves the playfield

    An episode ends where the car leaves the playfield, or when all tiles are visited, and is truncated after `horizon`
    frames.

        optimum = 909.6 by a driver that sees the state,      random = −31.9        with the default repeat and horizon

    Tracks, forces and rewards are those of Gymnasium's `CarRacing-v3`, and so is the picture, but for this:

    - The car is one rigid body. In Gymnasium joints hold the wheels, and give way a little.
    - A wheel touches a tile, and has its grip, in the same frame; in Gymnasium the grip follows a frame later.
    - The picture is of `size` × `size` pixels instead of 96 × 96, has no zoom in the first second, and does not show the
      score. Edges of the road are not smoothed.
    - A lap ends when all tiles are visited. Gymnasium's other rule, to come back to the first tile after 95 % of the tiles,
      never applies: the car begins on that tile.

    **Arguments:**

    - `size`: the width and the height of the picture in pixels.
    - `repeat`: the number of frames for which a step acts. Its reward is the sum of theirs.
    - `horizon`: the number of frames of the longest episode.

    Reference: Towers et al., *Gymnasium: a standard interface for reinforcement learning environments*, 2024.
    """

    size: int = 64
    repeat: int = 1
    horizon: int = 1000

    def __check_init__(self):
        here = f"CarRacing(size={self.size}, repeat={self.repeat}, horizon={self.horizon})"
        if self.size < LEAST_SIZE:
            raise InputError(f"{here}: the car would be smaller than a pixel; give size >= {LEAST_SIZE}.")
        if not 1 <= self.repeat <= self.horizon:
            raise InputError(f"{here}: a step is some frames of an episode; give 1 <= repeat <= horizon.")

    @property
    def observation_space(self) -> Box:
        return Box(0, 255, (self.size, self.size, 3), np.uint8)

    @property
    def action_space(self) -> Box:
        return Box(np.array([-1, 0, 0], np.float32), np.ones(3, np.float32))

    @property
    def max_episode_steps(self) -> int:
        return math.ceil(self.horizon / self.repeat)

    @property
    def time_step(self) -> float:
        return self.repeat * FRAME

    @property
    def optimum(self) -> float:
        return OPTIMUM if self._is_default else math.nan

    @property
    def random(self) -> float:
        return RANDOM if self._is_default else math.nan

    @property
    def _is_default(self) -> bool:
        return (self.repeat, self.horizon) == (1, 1000)

    def reset(self, key: PRNGKeyArray) -> CarRacingState:
        return _begin(draw_track(key))

    def reset_same_world(self, state: CarRacingState, key: PRNGKeyArray) -> CarRacingState:
        """Another episode on the same track."""
        del key
        return _begin(state.track)

    def observe(self, state: CarRacingState) -> UInt8[Array, "size size 3"]:
        return picture(state.track, state.visited, state.car, self.size)

    def step(self, state: CarRacingState, action: Float[Array, "3"], key: PRNGKeyArray) -> tuple[CarRacingState, Feedback]:
        del key

        def frame(carried):
            state, so_far = carried
            following, (reward, terminated, truncated) = self._frame(state, action)
            return following, Feedback(so_far.reward + reward, terminated, truncated)

        def one(_, carried):
            over = carried[1].terminated | carried[1].truncated
            return jax.tree.map(lambda new, old: jnp.where(over, old, new), frame(carried), carried)

        none = Feedback(jnp.zeros(()), jnp.array(False), jnp.array(False))
        return jax.lax.fori_loop(1, self.repeat, one, frame((state, none)))

    def _frame(self, state, action):
        touched, on_road = touching(state.track, wheels(state.car))
        visited = state.visited | touched
        car = drive(state.car, action, on_road)
        tiles = state.track.tiles.astype(car.angle.dtype)
        count, before = jnp.sum(visited), jnp.sum(state.visited)
        reward = 1000 / tiles * (count - before).astype(tiles.dtype) - FRAME_COST
        lost = jnp.any(jnp.abs(car.place) > PLAYFIELD)
        terminated = lost | (count == state.track.tiles)
        truncated = ~terminated & (state.time + 1 >= self.horizon)
        following = CarRacingState(state.track, visited, car, state.time + 1)
        return following, Feedback(jnp.where(lost, LOST, reward), terminated, truncated)

    def render_images(self, state: CarRacingState) -> dict[str, UInt8[Array, "height width 3"]]:
        """What the agent sees, in a size for people."""
        return {"view": picture(state.track, state.visited, state.car, LARGE)}

    def render_text(self, state: CarRacingState) -> str:
        """The tiles that were visited, the speed, and where the front wheels point."""
        speed = float(jnp.linalg.norm(jnp.asarray(state.car.velocity)))
        steering = -float(state.car.steering)
        arrow = "↑" if abs(steering) < 0.05 else "←→"[int(steering > 0)]
        return f"{int(np.sum(state.visited))}/{int(state.track.tiles)} tiles, speed {speed:.0f}, {arrow}"


def _begin(track: Track) -> CarRacingState:
    """The car stands at the end of the first tile."""
    car = Car.at_rest(track.points[:, 1], track.angles[1])
    return CarRacingState(track, jnp.zeros(MOST_TILES, bool), car, jnp.zeros((), int))
