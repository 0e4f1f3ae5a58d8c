"""Movement among walls."""

import math
from typing import Any

from jaxtyping import Bool, Float, Int

from farback.envs.raycast.camera import AnyArray, Pose

LEFT, RIGHT, FORWARD = 0, 1, 2
MARGIN = 0.2
"""The distance that a walker keeps from walls, in blocks."""
PACE = 0.25
"""The length, in blocks, of the parts of a step that are checked for walls."""


def walk(
    grid: Int[AnyArray, "rows columns"], position: Float[AnyArray, "2"], direction: Float[AnyArray, "2"], length: float
) -> tuple[Float[AnyArray, "2"], Bool[AnyArray, ""]]:
    """A step along x and then along y, each as a whole or, if a wall is in its way, not at all: walkers slide along walls.

    **Arguments:**

    - `grid`: 0 where a block is free.
    - `direction`: a unit vector.
    - `length`: the length of the step in blocks.

    **Returns:** (position, whether a wall stopped one of the two parts).
    """
    xp: Any = position.__array_namespace__()
    parts = math.ceil(length / PACE)
    lengths = xp.arange(1.0, parts + 1) * (length / parts)
    corners = MARGIN * xp.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    bumped, last = xp.array(False), xp.array([grid.shape[1] - 1, grid.shape[0] - 1])
    for axis in xp.eye(2):
        way = position + lengths[:, None] * (direction * axis)
        blocks = xp.clip(xp.floor(way[:, None] + corners).astype(int), 0, last)
        free = xp.all(grid[blocks[..., 1], blocks[..., 0]] == 0)
        position = xp.where(free, way[-1], position)
        bumped |= ~free
    return position, bumped


def turn_or_walk(
    grid: Int[AnyArray, "rows columns"],
    position: Float[AnyArray, "2"],
    heading: Int[AnyArray, ""],
    action: Any,
    circle: int,
    length: float,
) -> tuple[Float[AnyArray, "2"], Int[AnyArray, ""], Bool[AnyArray, ""]]:
    """One action of three: a turn to the left or to the right, or a step forward.

    **Arguments:**

    - `heading`, `circle`: the number of turns from the direction of x, and that of a full circle.
    - `length`: the length of a step in blocks.

    **Returns:** (position, heading, whether a wall stopped a step).
    """
    xp: Any = position.__array_namespace__()
    forward = action == FORWARD
    walked, stopped = walk(grid, position, Pose.after_turns(position, heading, circle).forward, length)
    turned = (heading + xp.where(action == RIGHT, 1, 0) - xp.where(action == LEFT, 1, 0)) % circle
    return xp.where(forward, walked, position), turned, forward & stopped
