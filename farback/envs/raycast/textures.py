"""The pictures on walls and of things, drawn by formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from farback.envs.raycast.camera import Pictures, pack

SIDE = 16
"""The rows and columns of a texture."""
COLOURS = ((214, 69, 65), (72, 161, 77), (68, 108, 207), (226, 160, 52), (139, 82, 179), (60, 170, 178), (205, 100, 152))
FLOOR, CEILING, GOLD = (112, 98, 84), (96, 112, 138), (255, 224, 64)


def _patterns() -> list[np.ndarray]:
    """Which texels of each pattern are dark."""
    row, column = np.mgrid[:SIDE, :SIDE]
    bricks = (row % 4 == 0) | ((column + 4 * (row // 4 % 2)) % 8 == 0)
    return [bricks, column % 4 < 2, (row // 4 + column // 4) % 2 == 0]


@functools.cache
def _walls() -> np.ndarray:
    plain = np.array(COLOURS, np.uint8)[:, None, None]
    return np.concatenate([np.where(dark[..., None], plain // 2, plain) for dark in _patterns()])


TEXTURES = len(COLOURS) * len(_patterns())
"""The number of textures of walls: every pattern in every colour."""


@functools.cache
def _ball() -> np.ndarray:
    row, column = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE - 0.5
    inside = row**2 + column**2 < 0.25
    light = 1 - 0.6 * np.hypot(row + 0.15, column + 0.15)
    return np.dstack([*(light * shade for shade in GOLD), 255 * inside]).astype(np.uint8)


def pictures() -> Pictures:
    """All textures of walls, and one picture of a golden ball."""
    with jax.ensure_compile_time_eval():
        floor, ceiling = (pack(jnp.array(colour, jnp.uint8)) for colour in (FLOOR, CEILING))
        return Pictures(pack(jnp.asarray(_walls())), pack(jnp.asarray(_ball()))[None], floor, ceiling)
