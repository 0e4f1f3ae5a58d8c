"""Drive a car around a random track, seen from above."""

import math
from typing import Any, NamedTuple

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


class CarRacingState(NamedTuple):
    """The track, which of its tiles were visited, the car, and the frames since the beginning."""

    track: Track
    visited: Bool[Array, " tiles"]
    car: Car
    time: Int[Array, ""]


class CarRacing(AbstractEnv):
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

    def reset(self, key: PRNGKeyArray) -> CarRacingState:
        return self._begin(draw_track(key))

    def reset_same_world(self, state: CarRacingState, key: PRNGKeyArray) -> CarRacingState:
        del key
        return self._begin(state.track)

    def _begin(self, track):
        car = Car.at_rest(track.points[:, 1], track.angles[1])
        return CarRacingState(track, jnp.zeros(MOST_TILES, bool), car, jnp.zeros((), int))

    def observe(self, state: CarRacingState) -> UInt8[Array, "size size 3"]:
        return picture(state.track, state.visited, state.car, self.size)

    def step(self, state: CarRacingState, action: Float[Array, "3"], key: PRNGKeyArray) -> tuple[CarRacingState, Feedback]:
        del key
        track = state.track

        def frame(_, carried):
            (visited, car, time), (total, terminated, truncated) = carried
            touched, on_road = touching(track, wheels(car))
            now = visited | touched
            new = jnp.sum(now) - jnp.sum(visited)
            moved = drive(car, action, on_road)
            lost = jnp.any(jnp.abs(moved.place) > PLAYFIELD)
            reward = 1000 * new.astype(total.dtype) / track.tiles.astype(total.dtype) - FRAME_COST
            reward = jnp.where(lost, LOST, reward)
            ends = lost | (jnp.sum(now) == track.tiles)
            late = ~ends & (time + 1 >= self.horizon)
            following = (now, moved, time + 1), Feedback(total + reward, ends, late)
            goes_on = ~(terminated | truncated)
            return jax.tree.map(lambda new, old: jnp.where(goes_on, new, old), following, carried)

        none = Feedback(jnp.zeros(()), jnp.array(False), jnp.array(False))
        carried = tuple(state[1:]), none
        if self.repeat == 1:
            after, feedback = frame(0, carried)
        else:
            after, feedback = jax.lax.fori_loop(0, self.repeat, frame, carried)
        return CarRacingState(track, *after), feedback
