"""Mazes that are seen from within, and layouts of mazes by recursive backtracking."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.spaces import Discrete
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from farback.envs.base import Feedback
from farback.envs.raycast.base import AbstractRaycastEnv, View
from farback.envs.raycast.camera import AnyArray, Pose, Sprites
from farback.envs.raycast.textures import GOLD, TEXTURES
from farback.envs.raycast.walking import turn_or_walk
from farback.types import InputError

REACH = 0.5
"""The distance from the target, in blocks, at which it is reached."""
BUMP, STEP = -0.001, -0.04


class World(NamedTuple):
    """A layout and a target. The maze is made of blocks: its cell (i, j) is block (2 i + 1, 2 j + 1).

    - `grid`: 0 where a block is free, and a texture from 1 where it is a wall.
    - `target`: the column and the row of its block.
    """

    grid: Int[Array, "blocks blocks"]
    target: Int[Array, "2"]


class Start(NamedTuple):
    """Where the agent begins and looks, in turns from the direction of x."""

    position: Float[Array, "2"]
    heading: Int[Array, ""]


class MazeState(NamedTuple):
    """The world, where the agent began, where it is and looks, and the time."""

    world: World
    start: Start
    position: Float[Array, "2"]
    heading: Int[Array, ""]
    time: Int[Array, ""]


class Maze(AbstractRaycastEnv):
    """Finds a target in a maze that is seen from within. Actions turn left, turn right, and go forward.

        reward = −0.04 for each step, −0.001 more for a step into a wall, +1 at the target, which ends the episode

    Each world is a maze by recursive backtracking, a texture on each block of its walls, and a target. Evaluation has
    other worlds than training. An episode begins at a random cell in a random direction. `Trials(Maze(), 2)` keeps the
    world and the start for two episodes: what the first has explored, the second can use.

        optimum = 0.515 by shortest ways,      random = −1.695        with the default arguments

    **Arguments:**

    - `cells`: the number of cells along each side.
    - `stride`: the length of a step forward, in cells.
    - `turn`: the angle of a turn, in degrees.
    - `horizon`: the number of steps of an episode.
    - `worlds`: the number of worlds for training, and of those for evaluation.
    - `held_out`: whether the worlds are those for evaluation.
    - `width`, `height`, `field`: the size of the picture in pixels, and the field of view in degrees.

    Reference: Duan et al., *RL²: fast reinforcement learning via slow reinforcement learning*, 2016, section 3.3, with 5
    cells and a horizon of 250. There, a move of one cell takes about five actions: stride=0.2, turn=18.
    """

    cells: int = 5
    stride: float = 1.0
    turn: float = 90.0
    horizon: int = 50
    worlds: int = 1000
    held_out: bool = False
    width: int = 40
    height: int = 30
    field: float = 90.0
    played = 0.515, -1.695

    def __check_init__(self):
        here = f"Maze(cells={self.cells}, stride={self.stride}, turn={self.turn}, horizon={self.horizon})"
        if self.cells < 2 or self.horizon < 1 or self.worlds < 1:
            raise InputError(f"{here}: give cells >= 2, horizon >= 1 and worlds >= 1.")
        if not 0 < self.stride <= 1:
            raise InputError(f"{here}: a step goes at most to the next cell; give 0 < stride <= 1.")
        if not 0 < self.turn <= 180 or not math.isclose(self.headings * self.turn, 360):
            raise InputError(f"{here}: turns go round in whole steps; give a turn that divides 360, such as 90 or 18.")

    @property
    def headings(self) -> int:
        """The number of directions."""
        return round(360 / self.turn)

    @property
    def action_space(self) -> Discrete:
        return Discrete(3)

    @property
    def max_episode_steps(self) -> int:
        return self.horizon

    @property
    def eval_env(self) -> "Maze":
        return dataclasses.replace(self, held_out=True)

    def world(self, number: Int[Array, ""]) -> World:
        """Returns the world of a number, from 0 to `worlds` − 1."""
        key = jax.random.fold_in(jax.random.key(0), number + self.worlds * self.held_out)
        layout_key, texture_key, target_key = jax.random.split(key, 3)
        walls = layout(self.cells, layout_key)
        textures = jax.random.randint(texture_key, walls.shape, 1, TEXTURES + 1)
        return World(jnp.where(walls, textures, 0), 2 * jax.random.randint(target_key, (2,), 0, self.cells) + 1)

    def reset(self, key: PRNGKeyArray) -> MazeState:
        world_key, start_key = jax.random.split(key)
        world = self.world(jax.random.randint(world_key, (), 0, self.worlds))
        return _begin(world, self._start(world, start_key))

    def reset_same_world(self, state: MazeState, key: PRNGKeyArray) -> MazeState:
        del key
        return _begin(state.world, state.start)

    def view(self, state: MazeState) -> View:
        grid, target = state.world
        pose = Pose.after_turns(state.position, state.heading, self.headings)
        return View(grid, pose, Sprites(middle(target)[None], jnp.full(1, GOLD), jnp.full(1, 0.6), jnp.ones(1, bool)))

    def step(self, state: MazeState, action: Any, key: PRNGKeyArray) -> tuple[MazeState, Feedback]:
        del key
        grid, circle, length = state.world.grid, self.headings, 2 * self.stride
        position, heading, bumped = turn_or_walk(grid, state.position, state.heading, action, circle, length)
        state = MazeState(state.world, state.start, position, heading, state.time + 1)
        reward, found = outcome(position, state.world.target, bumped)
        return state, Feedback(reward, found, ~found & (state.time >= self.horizon))

    def _start(self, world: World, key: PRNGKeyArray) -> Start:
        """A random start in any cell but that of the target."""
        cell_key, heading_key = jax.random.split(key)
        column, row = world.target // 2
        cell = jax.random.randint(cell_key, (), 0, self.cells**2 - 1)
        cell = jnp.where(cell < self.cells * row + column, cell, cell + 1)
        position = middle(2 * jnp.stack([cell % self.cells, cell // self.cells]) + 1)
        return Start(position, jax.random.randint(heading_key, (), 0, self.headings))


def _begin(world: World, start: Start) -> MazeState:
    return MazeState(world, start, *start, jnp.zeros((), int))


def outcome(
    position: Float[AnyArray, "2"], target: Int[AnyArray, "2"], bumped: Bool[AnyArray, ""]
) -> tuple[Float[AnyArray, ""], Bool[AnyArray, ""]]:
    """Returns `(reward, found)` of a step: its reward, and whether it came to the target."""
    xp: Any = position.__array_namespace__()
    found = xp.linalg.norm(position - middle(target)) < REACH
    return STEP + xp.where(bumped, BUMP, 0.0) + xp.where(found, 1.0, 0.0), found


def middle(block: Int[AnyArray, "*things 2"]) -> Float[AnyArray, "*things 2"]:
    """The middle of a block, or of several."""
    return block.astype(float) + 0.5


def layout(cells: int, key: PRNGKeyArray) -> Bool[Array, "blocks blocks"]:
    """Which blocks of a maze of cells × cells are walls. There is exactly one way between any two cells.

    Recursive backtracking: from a cell, go through the wall to a random cell that was not visited; where there is none, go
    back.
    """
    moves = jnp.array([[1, 0], [0, 1], [-1, 0], [0, -1]])

    def one(carry, key):
        walls, way, length = carry
        cell = way[length - 1]
        others = cell + moves
        inside = jnp.all((others >= 0) & (others < cells), axis=1)
        middles = 2 * others + 1
        new = inside & walls[middles[:, 1], middles[:, 0]]
        chosen = jnp.argmax(jnp.where(new, jax.random.uniform(key, (4,)), -1.0))
        onward = jnp.any(new)
        door = 2 * cell + 1 + moves[chosen]
        for block in (door, middles[chosen]):
            walls = walls.at[block[1], block[0]].set(walls[block[1], block[0]] & ~onward)
        way = way.at[length].set(jnp.where(onward, others[chosen], way[length]), mode="drop")
        return (walls, way, jnp.where(onward, length + 1, jnp.maximum(length - 1, 1))), None

    start_key, key = jax.random.split(key)
    start = jax.random.randint(start_key, (2,), 0, cells)
    walls = jnp.ones((2 * cells + 1, 2 * cells + 1), bool).at[2 * start[1] + 1, 2 * start[0] + 1].set(False)
    way = jnp.zeros((cells**2, 2), start.dtype).at[0].set(start)
    keys = jax.random.split(key, 2 * cells**2)
    (walls, _, _), _ = jax.lax.scan(one, (walls, way, jnp.ones((), int)), keys)
    return walls
