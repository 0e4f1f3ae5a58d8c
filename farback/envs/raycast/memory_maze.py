"""Find things in a maze, one after the other, as they are asked for."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.spaces import Discrete
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from farback.envs.base import Feedback
from farback.envs.raycast.base import AbstractRaycastEnv, View
from farback.envs.raycast.camera import Camera, Pose, Sprites
from farback.envs.raycast.maze import layout, middle
from farback.envs.raycast.textures import COLOURS, TEXTURES
from farback.envs.raycast.walking import turn_or_walk
from farback.types import InputError

HEADINGS = 4
REACH = 0.5
"""The distance from a thing, in blocks, at which it is found."""
STRIDE = 2.0
"""The length of a step forward, in blocks: one cell of the maze."""


class MemoryMazeState(NamedTuple):
    """The state.

    - `grid`: 0 where a block is free, and a texture from 1 where it is a wall.
    - `things`: the column and the row of the block of each thing.
    - `wanted`: the number of the thing that is asked for.
    - `position`, `heading`: where the agent is and looks, in quarter turns from the direction of x.
    - `time`: the steps since the beginning.
    """

    grid: Int[Array, "blocks blocks"]
    things: Int[Array, "things 2"]
    wanted: Int[Array, ""]
    position: Float[Array, "2"]
    heading: Int[Array, ""]
    time: Int[Array, ""]


class MemoryMaze(AbstractRaycastEnv):
    """Finds the ball of the colour that the border of the picture shows, again and again: each find has reward 1, and then
    the border has another colour. The maze and its balls stay for the whole episode.

    Each episode has another maze by recursive backtracking, another texture on each block of its walls, and another place
    for each ball. Actions turn left, turn right, and go one cell forward. An episode is cut off after `horizon` steps.

        optimum = 36.69 by shortest ways,      random = 0.96        with the default arguments

    **Arguments:**

    - `cells`: the number of cells along each side.
    - `things`: the number of balls, each of another colour.
    - `horizon`: the number of steps of an episode.
    - `width`, `height`, `field`: the size of the picture in pixels, and the field of view in degrees.

    Reference: the task of Pašukonis, Lillicrap and Hafner, *Evaluating long-term memory in 3D mazes*, ICLR 2023, in other
    mazes.
    """

    cells: int = 4
    things: int = 3
    horizon: int = 300
    width: int = 40
    height: int = 30
    field: float = 90.0
    played = 36.69, 0.96

    def __check_init__(self):
        here = f"MemoryMaze(cells={self.cells}, things={self.things}, horizon={self.horizon})"
        if self.cells < 2 or self.horizon < 1:
            raise InputError(f"{here}: give cells >= 2 and horizon >= 1.")
        if not 2 <= self.things <= min(len(COLOURS), self.cells**2 - 1):
            raise InputError(
                f"{here}: each of the {self.cells**2} cells holds one thing or the agent, and there are {len(COLOURS)} "
                f"colours; give 2 <= things <= {min(len(COLOURS), self.cells**2 - 1)}."
            )

    @property
    def action_space(self) -> Discrete:
        return Discrete(3)

    @property
    def max_episode_steps(self) -> int:
        return self.horizon

    def reset(self, key: PRNGKeyArray) -> MemoryMazeState:
        layout_key, texture_key, cells_key, heading_key, wanted_key = jax.random.split(key, 5)
        walls = layout(self.cells, layout_key)
        textures = jax.random.randint(texture_key, walls.shape, 1, TEXTURES + 1)
        cells = jax.random.permutation(cells_key, self.cells**2)[: self.things + 1]
        blocks = 2 * jnp.stack([cells % self.cells, cells // self.cells], axis=1) + 1
        return MemoryMazeState(
            jnp.where(walls, textures, 0),
            blocks[1:],
            jax.random.randint(wanted_key, (), 0, self.things),
            middle(blocks[0]),
            jax.random.randint(heading_key, (), 0, HEADINGS),
            jnp.zeros((), int),
        )

    def view(self, state: MemoryMazeState) -> View:
        count = self.things
        sprites = Sprites(middle(state.things), jnp.arange(count), jnp.full(count, 0.6), jnp.ones(count, bool))
        return View(state.grid, Pose.after_turns(state.position, state.heading, HEADINGS), sprites)

    def picture(self, state: MemoryMazeState, camera: Camera) -> UInt8[Array, "height width 3"]:
        border = max(1, camera.height // 30)
        column, row = jnp.arange(camera.width), jnp.arange(camera.height)[:, None]
        nearest = jnp.minimum(jnp.minimum(column, camera.width - 1 - column), jnp.minimum(row, camera.height - 1 - row))
        colour = jnp.array(COLOURS, jnp.uint8)[state.wanted]
        return jnp.where((nearest < border)[..., None], colour, super().picture(state, camera))

    def step(self, state: MemoryMazeState, action: Any, key: PRNGKeyArray) -> tuple[MemoryMazeState, Feedback]:
        position, heading, _ = turn_or_walk(state.grid, state.position, state.heading, action, HEADINGS, STRIDE)
        found = jnp.linalg.norm(position - middle(state.things[state.wanted])) < REACH
        another = (state.wanted + jax.random.randint(key, (), 1, self.things)) % self.things
        wanted = jnp.where(found, another, state.wanted)
        state = MemoryMazeState(state.grid, state.things, wanted, position, heading, state.time + 1)
        return state, Feedback(found.astype(float), jnp.array(False), state.time >= self.horizon)
