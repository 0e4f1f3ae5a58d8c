"""The interface of environments that are seen from within."""

import dataclasses
import math
from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium.spaces import Box
from jaxtyping import Array, Int, UInt8

from farback.envs.base import AbstractEnv
from farback.envs.raycast.camera import Camera, Pose, Sprites
from farback.envs.raycast.map import draw_map
from farback.envs.raycast.textures import SIGNS, pictures

LARGE = 320, 240
"""The size in pixels of a picture for people."""
OF_PICTURES = {"width", "height", "field", "held_out"}
"""Arguments that change no returns of players."""
ARROWS = "→↘↓↙←↖↑↗"


class View(NamedTuple):
    """What there is to see, and from where.

    - `grid`: 0 where a block is free, and the number of a texture, from 1, where it is a wall. Its border is walls.
    - `pose`: the pose of the camera.
    - `sprites`: the things.
    """

    grid: Int[Array, "rows columns"]
    pose: Pose
    sprites: Sprites


class AbstractRaycastEnv(AbstractEnv):
    """An environment whose observations are first-person pictures of uint8. A subclass defines `view`.

    Its `optimum` is the mean return of a scripted player that sees the state; a better player may exist. It is known, as
    `random` is, for the default arguments.
    """

    width: eqx.AbstractVar[int]
    height: eqx.AbstractVar[int]
    field: eqx.AbstractVar[float]
    played: ClassVar[tuple[float, float]] = (math.nan, math.nan)
    """The mean returns of the scripted player and of random play with the default arguments."""
    lit: ClassVar[float] = 4.0
    """The distance, in blocks, at which light has fallen by half."""

    def __check_init__(self):
        Camera(self.width, self.height, self.field)  # refuses a size that is no picture

    @abstractmethod
    def view(self, state: Any) -> View:
        """What there is to see in a state."""

    @property
    def camera(self) -> Camera:
        """The eye of the agent."""
        return Camera(self.width, self.height, self.field)

    @property
    def observation_space(self) -> Box:
        return Box(0, 255, (self.height, self.width, 3), jnp.uint8)

    @property
    def optimum(self) -> float:
        return self._played[0]

    @property
    def random(self) -> float:
        return self._played[1]

    @property
    def _played(self) -> tuple[float, float]:
        changed = (field.name for field in dataclasses.fields(self) if getattr(self, field.name) != field.default)
        return self.played if set(changed) <= OF_PICTURES else (math.nan, math.nan)

    def picture(self, state: Any, camera: Camera) -> UInt8[Array, "height width 3"]:
        """The picture of a camera in place of the agent's eye."""
        grid, pose, sprites = self.view(state)
        return camera.picture(grid, pose, pictures(self.lit), sprites)

    def observe(self, state: Any) -> UInt8[Array, "height width 3"]:
        return self.picture(state, self.camera)

    def render_images(self, state: Any) -> dict[str, UInt8[Array, "height width 3"]]:
        """What the agent sees, in a size for people, and a map."""
        return {"view": self.picture(state, Camera(*LARGE, self.field)), "map": draw_map(*self.view(state))}

    def render_text(self, state: Any) -> str:
        """The map: walls, a letter for each thing, and an arrow for the agent."""
        grid, pose, sprites = self.view(jax.tree.map(jnp.asarray, state))
        rows = [["#" if wall else "." for wall in row] for row in grid.tolist()]
        for (x, y), kind, _, shown in zip(*(leaf.tolist() for leaf in sprites), strict=True):
            if shown:
                rows[int(y)][int(x)] = SIGNS[kind]
        x, y = pose.position.tolist()
        rows[int(y)][int(x)] = ARROWS[round(4 * float(pose.angle) / math.pi) % 8]
        return " ".join("".join(row) for row in rows)
