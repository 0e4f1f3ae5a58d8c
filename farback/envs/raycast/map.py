"""Maps: a world from above."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

from farback.envs.raycast.camera import Pose, Sprites
from farback.envs.raycast.textures import painted_sprites

SIZE = 240
"""The most pixels along a side of a map."""
WALL, FREE, AGENT = (72, 76, 84), (226, 224, 218), (20, 24, 30)


@functools.cache
def _colours() -> np.ndarray:
    """The mean colour of each kind of sprite."""
    opaque = painted_sprites()[..., 3:] > 0
    return ((painted_sprites()[..., :3] * opaque).sum((1, 2)) / opaque.sum((1, 2))).astype(np.uint8)


def draw_map(grid: Int[Array, "rows columns"], pose: Pose, sprites: Sprites) -> UInt8[Array, "height width 3"]:
    """A map: walls, a disc for each sprite, and a disc with a pointer for the agent."""
    scale = SIZE // max(grid.shape)
    row, column = jnp.indices((scale * grid.shape[0], scale * grid.shape[1]))
    places = (jnp.stack([column, row], axis=-1).astype(float) + 0.5) / scale
    wall, free, dark = (jnp.array(colour, jnp.uint8) for colour in (WALL, FREE, AGENT))
    seen = jnp.where((grid[row // scale, column // scale] > 0)[..., None], wall, free)
    if len(sprites.kind):
        away = jnp.linalg.norm(places[..., None, :] - sprites.position, axis=-1)
        inside = (away < sprites.size / 2) & sprites.shown
        colours = jnp.asarray(_colours())[sprites.kind[jnp.argmax(inside, axis=-1)]]
        seen = jnp.where(jnp.any(inside, axis=-1, keepdims=True), colours, seen)
    apart = places - pose.position
    ahead, aside = apart @ pose.forward, apart @ pose.right
    pointer = (ahead > 0) & (ahead < 0.6) & (jnp.abs(aside) < 0.25 * (0.6 - ahead))
    agent = pointer | (jnp.linalg.norm(apart, axis=-1) < 0.25)
    return jnp.where(agent[..., None], dark, seen)
