"""Movement among walls."""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from farback.envs.raycast.camera import Pose

LEFT, RIGHT, FORWARD = 0, 1, 2
MARGIN = 0.2
"""The distance that a walker keeps from walls, in blocks."""
PACE = 0.25
"""The length, in blocks, of the parts of a step that are checked for walls."""


def walk(
    grid: Int[Array, "rows columns"], position: Float[Array, "2"], direction: Float[Array, "2"], length: float
) -> tuple[Float[Array, "2"], Bool[Array, ""]]:
    """A step along x and then along y, each as a whole or, if a wall is in its way, not at all: walkers slide along walls.

    **Arguments:**

    - `grid`: 0 where a block is free.
    - `direction`: a unit vector.
    - `length`: the length of the step in blocks.

    **Returns:** (position, whether a wall stopped one of the two parts).
    """
    parts = math.ceil(length / PACE)
    lengths = jnp.arange(1.0, parts + 1) * (length / parts)
    corners = MARGIN * jnp.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    bumped = jnp.array(False)
    for axis in jnp.eye(2):
        way = position + lengths[:, None] * (direction * axis)
        blocks = jnp.floor(way[:, None] + corners).astype(int)
        free = jnp.all(grid[blocks[..., 1], blocks[..., 0]] == 0)
        position = jnp.where(free, way[-1], position)
        bumped |= ~free
    return position, bumped


def turn_or_walk(
    grid: Int[Array, "rows columns"],
    position: Float[Array, "2"],
    heading: Int[Array, ""],
    action: Any,
    circle: int,
    length: float,
) -> tuple[Float[Array, "2"], Int[Array, ""], Bool[Array, ""]]:
    """One action of three: a turn to the left or to the right, or a step forward.

    **Arguments:**

    - `heading`, `circle`: the number of turns from the direction of x, and that of a full circle.
    - `length`: the length of a step in blocks.

    **Returns:** (position, heading, whether a wall stopped a step).
    """
    forward = action == FORWARD
    walked, stopped = walk(grid, position, Pose.after_turns(position, heading, circle).forward, length)
    turned = (heading + jnp.where(action == RIGHT, 1, 0) - jnp.where(action == LEFT, 1, 0)) % circle
    return jnp.where(forward, walked, position), turned, forward & stopped
