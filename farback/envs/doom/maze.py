"""`Maze` in the pictures of Doom's engine."""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Dict, MultiBinary

from farback.envs.doom.archives import PLAYER, archive, level
from farback.envs.doom.art import sprite
from farback.envs.doom.engine import Engine, EngineDiedError
from farback.envs.doom.pictures import shrunk
from farback.envs.doom.wad import BLOCK, wad
from farback.envs.raycast.maze import Maze, outcome
from farback.envs.raycast.textures import GOLD
from farback.envs.raycast.walking import turn_or_walk

TARGET = 20002
"""The type of the target."""
TICS = 2
"""The tics of a step: one puts the player at its place, which shakes the view, and after the next the view is still."""
BUTTONS = ("TURN_LEFT_RIGHT_DELTA",)
DIED = "engine died"
"""What the info of a step says if its episode is truncated because the engine died."""
RULES = """
actor Target {
  +NOINTERACTION
  States {
  Spawn: BALL A -1 bright
    Stop
  }
}"""


def world(grid: np.ndarray, target: np.ndarray) -> list[tuple[str, bytes]]:
    """The lumps of the map of a world."""
    return level(grid, [(PLAYER, 1.5, 1.5, 0), (TARGET, *(target + 0.5).tolist(), 0)])


class MazeWorlds:
    """The worlds of a `Maze` on the host.

    **Arguments:**

    - `maze`: the maze, which makes the worlds.
    """

    def __init__(self, maze: Maze):
        self.maze = maze
        self.grids, self.targets = jax.tree.map(np.asarray, jax.vmap(maze.world)(jnp.arange(maze.worlds)))


class DoomMaze(gymnasium.Env[Any, Any]):
    """Episodes of `Maze` by its own rules, in the pictures of the engine.

    **Arguments:**

    - `worlds`: the worlds.
    """

    def __init__(self, worlds: MazeWorlds):
        self.worlds, self.maze = worlds, worlds.maze
        self.observation_space: Any = self.maze.observation_space
        self.action_space = self.maze.action_space
        first = world(worlds.grids[0], worlds.targets[0])
        self.engine = Engine(archive([RULES], {TARGET: "Target"}, {"BALLA0": sprite(GOLD, 0.6)}, first), BUTTONS)
        self.picture = np.zeros(self.observation_space.shape, np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        number = int(self.np_random.integers(self.maze.worlds))
        self.grid, self.target = self.worlds.grids[number], self.worlds.targets[number]
        cells = np.argwhere(self.grid[1::2, 1::2] == 0)[:, ::-1]
        cells = cells[(2 * cells + 1 != self.target).any(axis=1)]
        position = 2.0 * cells[self.np_random.integers(len(cells))] + 1.5
        self.start = position, np.asarray(self.np_random.integers(self.maze.headings))
        self.engine.load(wad(world(self.grid, self.target)))
        try:
            return self._enter(), {}
        except EngineDiedError:
            return self._enter(), {}

    def again(self) -> np.ndarray:
        """Begins another episode in the same world."""
        self.time = 0
        return self._place(*self.start)

    def _enter(self) -> np.ndarray:
        self.engine.begin(seed=0)
        self.shown = 0.0
        return self.again()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        circle, length, place = self.maze.headings, 2 * self.maze.stride, (self.position, self.heading)
        position, heading, bumped = turn_or_walk(self.grid, *place, np.asarray(action), circle, length)
        reward, found = outcome(position, self.target, bumped)
        self.time += 1
        try:
            picture = self._place(np.asarray(position), np.asarray(heading))
        except EngineDiedError:
            return self.picture, 0.0, False, True, {DIED: True}
        return picture, float(reward), bool(found), not found and self.time >= self.maze.horizon, {}

    def close(self) -> None:
        self.engine.close()

    def _place(self, position: Any, heading: Any) -> np.ndarray:
        """Puts the player somewhere, and looks."""
        self.position, self.heading = position, heading
        angle, (column, row) = float(heading) * self.maze.turn, position.tolist()
        turn = (angle - self.shown + 180) % 360 - 180
        self.engine.act([turn / TICS], TICS, f"warp {BLOCK * column} {-BLOCK * row}")
        self.shown = angle
        screen = self.engine.screen()
        if screen is not None:
            self.picture = shrunk(screen, self.maze.height, self.maze.width)
        return self.picture


class DoomMazeTrials(gymnasium.Env[Any, Any]):
    """Trials of several episodes of a `DoomMaze` in one world, as by `Trials`.

    **Arguments:**

    - `worlds`: the worlds.
    - `episodes`: the number of episodes of a trial.
    """

    def __init__(self, worlds: MazeWorlds, episodes: int):
        self.env, self.episodes = DoomMaze(worlds), episodes
        self.observation_space = Dict(observation=self.env.observation_space, ended=MultiBinary(1))
        self.action_space = self.env.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.done = 0
        picture, info = self.env.reset(seed=seed, options=options)
        return _seen(picture, False), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        picture, reward, terminated, truncated, info = self.env.step(action)
        ended = (terminated or truncated) and not info
        self.done += ended
        try:
            picture = self.env.again() if ended else picture
        except EngineDiedError:
            info = {DIED: True}
        return _seen(picture, ended), reward, self.done == self.episodes, bool(info), info

    def close(self) -> None:
        self.env.close()


def _seen(picture: np.ndarray, ended: bool) -> dict[str, np.ndarray]:
    return {"observation": picture, "ended": np.array([ended], np.int8)}
