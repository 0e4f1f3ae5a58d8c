"""The pictures on walls and of things, drawn by formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from farback.envs.raycast.camera import Pictures, pack

SIDE = 16
"""The rows and columns of a texture."""
COLOURS = ((214, 69, 65), (72, 161, 77), (68, 108, 207), (226, 160, 52), (139, 82, 179), (60, 170, 178), (205, 100, 152))
FLOOR, CEILING = (112, 98, 84), (96, 112, 138)
RED, GREEN, BLUE = 0, 1, 2
"""The first colours, and the kinds of the sprites that are balls of these colours."""
GOLD = len(COLOURS)
"""The kind of a golden ball."""
COLUMN = GOLD + 1
"""The kind of a red column; the next one is a green column."""
MONSTER, FIREBALL = COLUMN + 2, COLUMN + 3
SIGNS = "abcdefg" + "o" + "IJ" + "M" + "*"
"""A letter for each kind of sprite, for maps."""


def _patterns() -> list[np.ndarray]:
    """Which texels of each pattern are dark."""
    row, column = np.mgrid[:SIDE, :SIDE]
    bricks = (row % 4 == 0) | ((column + 4 * (row // 4 % 2)) % 8 == 0)
    return [bricks, column % 4 < 2, (row // 4 + column // 4) % 2 == 0]


@functools.cache
def painted_walls() -> UInt8[np.ndarray, "textures side side 3"]:
    """The textures of walls, in red, green and blue."""
    plain = np.array(COLOURS, np.uint8)[:, None, None]
    return np.concatenate([np.where(dark[..., None], plain // 2, plain) for dark in _patterns()])


TEXTURES = len(COLOURS) * len(_patterns())
"""The number of textures of walls: every pattern in every colour."""
PLACES = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE - 0.5
"""The row and the column of each texel, from −0.5 to 0.5."""


def _painted(colour: tuple[int, int, int], light: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """A picture of one colour that is transparent outside of a shape."""
    return np.dstack([*(np.clip(light * part, 0, 255) for part in colour), 255 * inside]).astype(np.uint8)


def _ball(colour: tuple[int, int, int]) -> np.ndarray:
    row, column = PLACES
    return _painted(colour, 1 - 0.6 * np.hypot(row + 0.15, column + 0.15), row**2 + column**2 < 0.25)


def _column(colour: tuple[int, int, int]) -> np.ndarray:
    _, column = PLACES
    return _painted(colour, 1 - 1.5 * np.abs(column), np.abs(column) < 0.2)


def _monster() -> np.ndarray:
    row, column = PLACES
    head = (row + 0.25) ** 2 + column**2 < 0.05
    body = (row > -0.15) & (np.abs(column) < 0.35 - 0.4 * row)
    eyes = (np.abs(row + 0.25) < 0.07) & (np.abs(np.abs(column) - 0.1) < 0.05)
    brown, yellow = _painted((140, 80, 50), 1 - row, head | body), _painted((255, 230, 90), np.ones_like(row), eyes)
    return np.where(eyes[..., None], yellow, brown)


def _fireball() -> np.ndarray:
    row, column = PLACES
    distance = np.hypot(row, column)
    return _painted((255, 130, 30), 1.6 - 1.6 * distance, distance < 0.5)


@functools.cache
def painted_sprites() -> UInt8[np.ndarray, "kinds side side 4"]:
    """The pictures of all kinds of sprites, in red, green, blue and alpha."""
    balls = [_ball(colour) for colour in (*COLOURS, (255, 224, 64))]
    return np.stack([*balls, _column(COLOURS[RED]), _column(COLOURS[GREEN]), _monster(), _fireball()])


def pictures(lit: float) -> Pictures:
    """The textures of all walls, and the pictures of all kinds of sprites, in a light that falls by half in `lit` cells."""
    with jax.ensure_compile_time_eval():
        floor, ceiling = (pack(jnp.array(colour, jnp.uint8)) for colour in (FLOOR, CEILING))
        return Pictures(pack(jnp.asarray(painted_walls())), pack(jnp.asarray(painted_sprites())), floor, ceiling, lit)
