"""First-person pictures of a grid of walls and of sprites, by ray casting."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8, UInt32

from farback.types import InputError

if TYPE_CHECKING:
    from jaxtyping import Array as AnyArray
else:
    AnyArray = Array | np.ndarray | np.generic
"""An array of JAX, or of NumPy: environments on the host have the rules of compiled ones."""

NEAREST = 0.05
"""Sprites nearer than this, in cells, are not drawn."""
LAYERS = 4
"""The most sprites that a column of pixels shows."""
SHADE = 0.75
"""The light on walls that face along y, in parts of that on walls that face along x."""


class Pose(NamedTuple):
    """Where the camera is, in cells, and where it looks: along x at angle 0, along y (down on a map) at π / 2."""

    position: Float[AnyArray, "2"]
    angle: Float[AnyArray, ""]

    @classmethod
    def after_turns(cls, position: Float[AnyArray, "2"], turns: Int[AnyArray, ""], circle: int) -> "Pose":
        """The pose after a number of equal turns from the direction of x, of which `circle` make a full circle."""
        return cls(position, turns.astype(float) * (2 * math.pi / circle))

    @property
    def forward(self) -> Float[AnyArray, "2"]:
        """The unit vector of the view."""
        xp: Any = self.position.__array_namespace__()
        return xp.stack([xp.cos(self.angle), xp.sin(self.angle)])

    @property
    def right(self) -> Float[Array, "2"]:
        """The unit vector to the right of the view."""
        return jnp.stack([-jnp.sin(self.angle), jnp.cos(self.angle)])


class Sprites(NamedTuple):
    """Pictures that stand on the floor and face the camera; leading axis `[sprites]`.

    - `position`: x and y, in cells.
    - `kind`: the number of the picture.
    - `size`: the height and the width, in cells.
    - `shown`: whether it is there.
    """

    position: Float[Array, "sprites 2"]
    kind: Int[Array, " sprites"]
    size: Float[Array, " sprites"]
    shown: Bool[Array, " sprites"]


class Pictures(NamedTuple):
    """The pictures of a world, colours packed by `pack`.

    - `walls`: the textures of walls.
    - `sprites`: the pictures of sprites, transparent where alpha is 0.
    - `floor`, `ceiling`: their colours.
    - `lit`: the distance, in cells, at which light has fallen by half.
    """

    walls: UInt32[Array, "textures side side"]
    sprites: UInt32[Array, "kinds side side"]
    floor: UInt32[Array, ""]
    ceiling: UInt32[Array, ""]
    lit: float = 4.0

    def light(self, distance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The light at a distance, from 0 to 1."""
        return self.lit**2 / (self.lit**2 + distance**2)


class Hits(NamedTuple):
    """Where rays meet walls; leading axis `[rays]`.

    - `distance`: the length of the ray in multiples of its direction.
    - `texture`: the number of the wall's texture.
    - `across`: the place on the wall from its left to its right, from 0 to 1.
    - `along_x`: whether the wall faces along x.
    """

    distance: Float[Array, " rays"]
    texture: Int[Array, " rays"]
    across: Float[Array, " rays"]
    along_x: Bool[Array, " rays"]


class Camera(eqx.Module):
    """A camera half a cell above the floor.

    **Arguments:**

    - `width`, `height`: the size of the picture in pixels.
    - `field`: the horizontal field of view in degrees.
    """

    width: int = 40
    height: int = 30
    field: float = 90.0

    def __check_init__(self):
        if self.width < 1 or self.height < 1 or not 0 < self.field < 180:
            raise InputError(
                f"Camera(width={self.width}, height={self.height}, field={self.field}): give a positive size, and a field "
                f"of view between 0 and 180 degrees."
            )

    @property
    def edge(self) -> float:
        """How far the rays at the sides go sideways for each cell forward."""
        return math.tan(math.radians(self.field) / 2)

    @property
    def tangents(self) -> Float[Array, " width"]:
        """How far the ray of each column goes to the right for each cell forward."""
        return self.edge * (2 * (jnp.arange(float(self.width)) + 0.5) / self.width - 1)

    @property
    def slopes(self) -> Float[Array, " height"]:
        """How far the ray of each row goes down for each cell forward. Pixels are squares."""
        return self.edge * (2 * (jnp.arange(float(self.height)) + 0.5) - self.height) / self.width

    def picture(
        self, grid: Int[Array, "rows columns"], pose: Pose, pictures: Pictures, sprites: Sprites | None = None
    ) -> UInt8[Array, "height width 3"]:
        """Returns what the camera sees.

        **Arguments:**

        - `grid`: 0 for a free cell, and the number of a texture, from 1, for a wall. Its border is walls.
        """
        tangents, slopes = self.tangents, self.slopes
        hits = cast(grid, pose.position, pose.forward + tangents[:, None] * pose.right)
        drop = slopes[:, None] * hits.distance
        on_wall = jnp.abs(drop) < 0.5
        walls = _texel(pictures.walls, hits.texture, drop + 0.5, hits.across)
        level = jnp.where(slopes > 0, pictures.floor, pictures.ceiling)[:, None]
        on_level = dimmed(level, pictures.light(0.5 / jnp.maximum(jnp.abs(slopes), 1e-6))[:, None])
        light = jnp.where(hits.along_x, 1, SHADE) * pictures.light(hits.distance)
        seen = jnp.where(on_wall, dimmed(walls, light), on_level)
        if sprites is not None:
            seen = self._with_sprites(seen, hits.distance, pose, pictures, sprites)
        return jax.lax.bitcast_convert_type(seen, jnp.uint8)[..., :3]

    def _with_sprites(self, seen, walls, pose, pictures, sprites):
        """Draws in each column the nearest sprites before the wall, from the farthest to the nearest."""
        apart = sprites.position - pose.position
        depth, lateral = apart @ pose.forward, apart @ pose.right
        across = (self.tangents * depth[:, None] - lateral[:, None]) / sprites.size[:, None] + 0.5
        before = (sprites.shown & (depth > NEAREST))[:, None] & (depth[:, None] < walls) & (across >= 0) & (across < 1)
        far = jnp.where(before, depth[:, None], jnp.inf)
        layers, columns = [], jnp.arange(self.width)
        for _ in range(min(LAYERS, len(depth))):
            nearest = jnp.argmin(far, axis=0)
            layers.append((nearest, jnp.isfinite(far[nearest, columns])))
            far = far.at[nearest, columns].set(jnp.inf)
        for nearest, there in reversed(layers):
            size, its_depth = sprites.size[nearest], depth[nearest]
            down = (self.slopes[:, None] * its_depth - 0.5) / size + 1
            found = _texel(pictures.sprites, sprites.kind[nearest], down, across[nearest, columns])
            drawn = there & (down >= 0) & (down < 1) & (found >> 24 > 0)
            seen = jnp.where(drawn, dimmed(found, pictures.light(its_depth)), seen)
        return seen


def cast(grid: Int[Array, "rows columns"], position: Float[Array, "2"], rays: Float[Array, "rays 2"]) -> Hits:
    """Follows rays from cell to cell, until each meets a wall.

    Reference: Amanatides and Woo, *A fast voxel traversal algorithm for ray tracing*, Eurographics 1987.
    """
    width = grid.shape[1]
    within = position - jnp.floor(position)
    start = jnp.floor(position).astype(int)
    ahead = rays > 0
    spacing = 1 / jnp.maximum(jnp.abs(rays), 1e-9)
    line = jnp.where(ahead, 1 - within, within) * spacing
    move = jnp.where(ahead, 1, -1) * jnp.array([1, width])
    cell = jnp.broadcast_to(start[1] * width + start[0], len(rays))
    cells = grid.ravel()

    def advance(carry):
        cell, line, distance, along_x, texture = carry
        running = texture == 0
        x_next = line[:, 0] < line[:, 1]
        here = jnp.where(x_next, line[:, 0], line[:, 1])
        following = cell + jnp.where(x_next, move[:, 0], move[:, 1])
        crossed = jnp.stack([x_next, ~x_next], axis=1)
        return (
            jnp.where(running, following, cell),
            jnp.where(running[:, None] & crossed, line + spacing, line),
            jnp.where(running, here, distance),
            jnp.where(running, x_next, along_x),
            jnp.where(running, cells[following], texture),
        )

    zeros = jnp.zeros(len(rays))
    carry = cell, line, zeros, jnp.zeros(len(rays), bool), jnp.zeros(len(rays), grid.dtype)
    _, _, distance, along_x, texture = jax.lax.while_loop(lambda carry: jnp.any(carry[-1] == 0), advance, carry)
    place = jnp.where(along_x, position[1] + distance * rays[:, 1], position[0] + distance * rays[:, 0])
    across = place - jnp.floor(place)
    leftward = jnp.where(along_x, ~ahead[:, 0], ahead[:, 1])
    return Hits(distance, texture - 1, jnp.where(leftward, 1 - across, across), along_x)


def _texel(textures, number, down, across):
    """The packed colours at places of textures, from 0 to 1, where the place down may be outside."""
    side = textures.shape[-1]
    row = jnp.clip((down * side).astype(int), 0, side - 1)
    column = jnp.clip((across * side).astype(int), 0, side - 1)
    return textures.ravel()[(number * side + row) * side + column]


def pack(colours: UInt8[Array, "*shape channels"]) -> UInt32[Array, "*shape"]:
    """Colours of red, green, blue and perhaps alpha, each in one number."""
    parts = [colours[..., channel].astype(jnp.uint32) << 8 * channel for channel in range(colours.shape[-1])]
    return sum(parts[1:], parts[0])


def dimmed(packed: UInt32[Array, "*#shape"], light: Float[Array, "*#shape"]) -> UInt32[Array, "..."]:
    """Packed colours in a light from 0 to 1, without their alpha: red and blue are multiplied at once."""
    factor = (256 * light).astype(jnp.uint32)
    red_blue = (packed & 0xFF00FF) * factor >> 8 & 0xFF00FF
    return red_blue | (packed & 0xFF00) * factor >> 8 & 0xFF00
