"""The colours, textures and sprites of the ray-caster as lumps of a WAD."""

import functools

import numpy as np
from jaxtyping import UInt8

from farback.envs.doom.wad import BLOCK, between, png
from farback.envs.raycast.textures import CEILING, COLOURS, FLOOR, SIDE, painted_sprites, painted_walls

WALLS = {number: f"WALL{number}" for number in range(1, len(painted_walls()) + 1)}
"""The name of each texture of walls, by its number in a grid."""
PALETTES, LIGHTS = 14, 34
"""The palettes of a screen, of which only the first is used, and the maps of colours to darker ones."""


@functools.cache
def palette() -> UInt8[np.ndarray, "colours 3"]:
    """256 colours: those of walls, floor and ceiling; a cube; and greys."""
    steps = np.linspace(0, 255, 6)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    plain = np.array(COLOURS)
    exact = np.concatenate([plain, plain // 2, [FLOOR, CEILING]])
    greys = np.linspace(10, 245, 256 - len(cube) - len(exact))[:, None].repeat(3, axis=1)
    return np.concatenate([cube, exact, greys]).astype(np.uint8)


def _darker() -> np.ndarray:
    """For each light, the number of the nearest colour to each colour in it."""
    colours = palette().astype(float)
    light = np.clip(1 - np.arange(LIGHTS) / 32, 0, 1)[:, None, None]
    apart = (light * colours)[:, :, None] - colours
    return np.argmin((apart**2).sum(axis=-1), axis=-1).astype(np.uint8)


def _large(image: np.ndarray, side: int) -> np.ndarray:
    return image.repeat(side // SIDE, axis=0).repeat(side // SIDE, axis=1)


def sprite(kind: int, size: float) -> bytes:
    """The picture of a kind of sprite, of a size in blocks."""
    side = round(size * BLOCK)
    at = np.arange(side) * SIDE // side
    return png(painted_sprites()[kind][at][:, at], (side // 2, side))


@functools.cache
def art() -> list[tuple[str, bytes]]:
    """The lumps of the palette, of the textures of all walls, of the floor and of the ceiling."""
    plain = {"FLOOR": FLOOR, "CEILING": CEILING}
    images = {WALLS[number]: png(_large(wall, BLOCK)) for number, wall in enumerate(painted_walls(), 1)}
    images |= {name: png(np.full((BLOCK, BLOCK, 3), colour, np.uint8)) for name, colour in plain.items()}
    colours = [("PLAYPAL", PALETTES * palette().tobytes()), ("COLORMAP", _darker().tobytes())]
    return colours + between("TX_START", "TX_END", images)
