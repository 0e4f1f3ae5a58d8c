"""Which tiles of a track the wheels touch."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from farback.envs.car_racing.car import WHEEL_HALF_WIDTH, WHEEL_RADIUS, Wheels
from farback.envs.car_racing.track import HALF_WIDTH, Track


def touching(track: Track, wheels: Wheels) -> tuple[Bool[Array, " tiles"], Bool[Array, "4"]]:
    """Returns which tiles a wheel touches, and which wheels are on a tile.

    A wheel touches a tile unless one side of the tile has the whole wheel beyond it.
    """
    edge = HALF_WIDTH * track.across
    left, right = track.points - edge, track.points + edge
    forward = _turned(edge)
    touches = track.is_tile & ~(
        _beyond(left[:, :-1], _turned(left[:, 1:] - left[:, :-1]), wheels)
        | _beyond(right[:, :-1], -_turned(right[:, 1:] - right[:, :-1]), wheels)
        | _beyond(track.points[:, 1:], forward[:, 1:], wheels)
        | _beyond(track.points[:, :-1], -forward[:, :-1], wheels)
    )
    touches = jax.lax.optimization_barrier(touches)
    return jnp.any(touches, axis=0), jnp.any(touches, axis=1)


def _turned(vectors):
    """Vectors that are turned to the left by a right angle."""
    return jnp.stack([-vectors[1], vectors[0]])


def _beyond(points, normals, wheels) -> Bool[Array, "4 tiles"]:
    """Whether whole wheels are beyond lines through points. Normals need not be of length 1."""
    (x, y), (point_x, point_y) = normals, points
    place_x, place_y = wheels.places.T[:, :, None]
    reach = 0.0
    for half, axis in zip((WHEEL_HALF_WIDTH, WHEEL_RADIUS), jnp.moveaxis(wheels.axes, 1, 0), strict=True):
        reach += half * jnp.abs(x * axis[:, :1] + y * axis[:, 1:])
    return x * (place_x - point_x) + y * (place_y - point_y) > reach
