"""Which tiles of a track the wheels touch."""

import jax.numpy as jnp
from jaxtyping import Array, Bool

from farback.envs.car_racing.car import WHEEL_HALF_WIDTH, WHEEL_RADIUS, Wheels
from farback.envs.car_racing.track import HALF_WIDTH, Track


def touching(track: Track, wheels: Wheels) -> Bool[Array, "tiles 4"]:
    """Whether each wheel touches each tile: whether no side of the tile has the whole wheel beyond it."""
    edge = HALF_WIDTH * track.across
    left, right = track.points - edge, track.points + edge
    forward = jnp.stack([-edge[:, 1], edge[:, 0]], axis=1)
    beyond = _beyond(left[:-1], _turned(left[1:] - left[:-1]), wheels)
    beyond |= _beyond(right[:-1], -_turned(right[1:] - right[:-1]), wheels)
    beyond |= _beyond(track.points[1:], forward[1:], wheels)
    beyond |= _beyond(track.points[:-1], -forward[:-1], wheels)
    return track.is_tile[:, None] & ~beyond


def _turned(vectors):
    """Vectors that are turned to the left by a right angle."""
    return jnp.stack([-vectors[:, 1], vectors[:, 0]], axis=1)


def _beyond(points, normals, wheels):
    """Whether whole wheels are beyond lines through points, `[line, wheel]`. Normals need not be of length 1."""
    (x, y), (point_x, point_y) = normals.T[:, :, None], points.T[:, :, None]
    side, forward = wheels.axes[:, 0], wheels.axes[:, 1]
    reach = WHEEL_HALF_WIDTH * jnp.abs(x * side[:, 0] + y * side[:, 1])
    reach = reach + WHEEL_RADIUS * jnp.abs(x * forward[:, 0] + y * forward[:, 1])
    return x * (wheels.places[:, 0] - point_x) + y * (wheels.places[:, 1] - point_y) > reach
