"""What worlds look like, and what there is to gain in them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from farback.envs import Maze, MemoryMaze, TakeCover, TwoColors, Watermaze
from farback.envs.raycast import players
from farback.envs.raycast.base import AbstractRaycastEnv
from farback.envs.raycast.players import Player, at_random, play
from farback.papers.engine.item import LENGTH, RETURN, Case, Place
from farback.papers.engine.runs import computed
from farback.reports.figures import figure
from farback.reports.record import Record
from farback.runs.log import Row

WORLDS: dict[str, tuple[AbstractRaycastEnv, Player]] = {
    "Maze": (Maze(), players.shortest_way),
    "MemoryMaze": (MemoryMaze(), players.shortest_ways),
    "Watermaze": (Watermaze(), players.straight_back),
    "TwoColors": (TwoColors(), players.collect),
    "TakeCover": (TakeCover(), players.dodge),
}
"""Each world, and the player that sees its state."""
GROUPS, SHOWN = 5, 6
"""The groups of episodes that an interval is over, and the pictures of each world."""


def views(episodes: int) -> list[Case]:
    """The returns of a scripted player and of random play, in groups of `episodes`."""

    def case(name: str, world: str, player: Player) -> Case:
        return Case(f"{world}: {name}", computed(partial(_scores, WORLDS[world][0], player, episodes)))

    each = {world: {"scripted": player, "random": at_random(env)} for world, (env, player) in WORLDS.items()}
    return [case(name, world, player) for world, both in each.items() for name, player in both.items()]


def _scores(env: AbstractRaycastEnv, player: Player, episodes: int, place: Place) -> tuple[list[Row], str]:
    del place
    rows = []
    for group in range(GROUPS):
        returns, lengths, _ = play(env, player, episodes, jax.random.key(group))
        found = {RETURN.name: float(np.mean(returns)), LENGTH.name: float(np.mean(lengths))}
        rows.append({"seed": group, "update": 0, "step": 0, **found})
    return rows, ""


def draw_views(records: Sequence[Record]) -> Any:
    """Draws pictures of the scripted player's way through each world, and a map, a row each."""
    worlds = list(dict.fromkeys(record.name.partition(":")[0] for record in records))
    picture, axes = figure(1.5 * (SHOWN + 1), 1.3 * len(worlds))
    axes.remove()
    panels = picture.subplots(len(worlds), SHOWN + 1, squeeze=False)
    for row, world in zip(panels, worlds, strict=True):
        env, player = WORLDS[world]
        for panel, image in zip(row, _frames(env, player), strict=True):
            panel.imshow(image, interpolation="nearest")
            panel.axis("off")
        row[0].set_title(world, fontsize="medium")
    return picture


def _frames(env: AbstractRaycastEnv, player: Player) -> list[np.ndarray]:
    """Pictures of every fourth step from the start of an episode, and the map at the last of them."""
    key, step, render = jax.random.key(3), jax.jit(env.step), jax.jit(env.render_images)
    state, memory, frames = env.reset(key), player.memory, []
    for number in range(4 * SHOWN):
        if number % 4 == 0:
            frames.append(np.asarray(render(state)["view"]))
        if number == 4 * (SHOWN - 1):
            return [*frames, np.asarray(render(state)["map"])]
        memory, action = player.act(memory, state, key)
        state, _ = step(state, action, jax.random.fold_in(key, number))
    raise AssertionError
