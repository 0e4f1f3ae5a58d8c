"""Shortest ways through mazes that are known."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

AHEAD = (1, 0), (0, 1), (-1, 0), (0, -1)
"""The direction of each heading along x and y."""


def steps_to(grid: Int[Array, "blocks blocks"], target: Int[Array, "2"]) -> Float[Array, "cells cells 4 3"]:
    """The number of actions to a target from each cell (row, column) and heading, if the next action is a turn to the left,
    a turn to the right, or a step forward, and the way after it is a shortest one. Turns are quarters, and steps cells.

    **Arguments:**

    - `grid`: a maze of blocks, whose cell (i, j) is block (2 i + 1, 2 j + 1); 0 where a block is free.
    - `target`: the column and the row of a block that is a cell.
    """
    cells = len(grid) // 2
    row, column = 2 * jnp.indices((cells, cells)) + 1
    there = jnp.zeros((cells, cells), bool).at[target[1] // 2, target[0] // 2].set(True)
    free = [grid[row + y, column + x] == 0 for x, y in AHEAD]

    def behind(steps):
        """The number of actions by way of each action, from the least number of each place."""
        forward = [jnp.roll(steps[..., h], (-y, -x), (0, 1)) for h, (x, y) in enumerate(AHEAD)]
        forward = [jnp.where(way, after, jnp.inf) for way, after in zip(free, forward, strict=True)]
        left, right = jnp.roll(steps, 1, -1), jnp.roll(steps, -1, -1)
        return 1 + jnp.stack([left, right, jnp.stack(forward, -1)], -1)

    def nearer(carry):
        steps, _ = carry
        after = jnp.minimum(steps, behind(steps).min(-1))
        return after, jnp.any(after < steps)

    start = jnp.where(there[..., None], 0.0, jnp.full((cells, cells, 4), jnp.inf))
    return behind(jax.lax.while_loop(lambda carry: carry[1], nearer, (start, jnp.array(True)))[0])
