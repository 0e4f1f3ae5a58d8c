"""ViZDoom as environments: scenarios of the package, and twins of the ray-caster's worlds."""

import difflib
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import gymnasium
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from farback.envs.bridges.host import Host
from farback.envs.bridges.hosted_env import AbstractHostedEnv
from farback.envs.bridges.processes import WORKER
from farback.envs.doom import two_colors
from farback.envs.doom.engine import vizdoom
from farback.envs.doom.maze import DoomMaze, DoomMazeTrials, MazeWorlds
from farback.envs.doom.scenario import DoomScenario, Scenario
from farback.envs.raycast.maze import Maze
from farback.envs.raycast.two_colors import ALIVE, TwoColors
from farback.types import InputError

TICS = 4
"""The tics of a step in the scenarios of the package."""
TAKE_COVER = "take_cover"
"""The scenario with a twin: its pictures have the size of that, and its reward is 1 for each step instead of each tic."""


class DoomCopies:
    """Makes vector environments of an environment, in a process whose engines share its core.

    A step is a turn of this process and then of an engine: on one core they need not wake each other up on two.

    **Arguments:**

    - `make`: makes an environment.
    """

    def __init__(self, make: Callable[[], gymnasium.Env[Any, Any]]):
        self.make = make

    def __call__(self, copies: int) -> VectorEnv[Any, Any, Any]:
        worker = os.environ.get(WORKER)
        if worker is not None and hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {cores[int(worker) % len(cores)]})
        return SyncVectorEnv([self.make] * copies, autoreset_mode=AutoresetMode.NEXT_STEP)


class Doom(AbstractHostedEnv):
    """A world of ViZDoom, from the extra `vizdoom`. `Doom('two-colors')` and `Doom('maze')` are twins of `TwoColors` and
    `Maze`, made without the tools of Doom, and `Doom('take_cover')` is the scenario that `TakeCover` is after. They have
    the observations and actions of their twins, so that an agent of one is evaluated in the other. All other scenarios of
    the package, such as `health_gathering` and `my_way_home`, have images of 40 × 30, an action for no button, and one for
    each button.

    In `two-colors` the engine moves the agent, with its inertia. In `maze` the rules are those of `Maze`, and the engine
    shows the world.

    Engines run in other processes, each on a core; an engine that dies is started again.

    **Arguments:**

    - `scenario`: the name of the scenario.
    - `processes`: the number of processes that the copies are divided over; by default, that of the cores.
    - `episodes`: for `maze`, the episodes of a trial in one world, with the observations of `Trials`. By default, there are
      no trials.
    - `options`: for the twins, the arguments of `TwoColors` or `Maze`: `Doom('maze', cells=9, horizon=200)`.

    Reference: Kempka et al., *ViZDoom: a Doom-based AI research platform for visual reinforcement learning*, 2016.
    """

    host: Host = eqx.field(static=True)

    def __init__(self, scenario: str, processes: int | None = None, episodes: int | None = None, **options: Any):
        vizdoom()
        self.host = Host(DoomCopies(maker(scenario, episodes, options)), processes or os.cpu_count() or 1, apart=True)


def maker(scenario: str, episodes: int | None, options: dict[str, Any]) -> Callable[[], gymnasium.Env[Any, Any]]:
    """Returns a function that makes an environment, for another process."""
    if scenario == "maze":
        if episodes is not None and episodes < 1:
            raise InputError(f"Doom('maze', episodes={episodes}): give episodes >= 1.")
        worlds = MazeWorlds(Maze(**options))
        return (
            functools.partial(DoomMaze, worlds) if episodes is None else functools.partial(DoomMazeTrials, worlds, episodes)
        )
    if episodes is not None:
        raise InputError(f"Doom('{scenario}', episodes={episodes}): only 'maze' has trials.")
    if scenario == "two-colors":
        return functools.partial(DoomScenario, _two_colors(TwoColors(**options)))
    if options:
        raise InputError(f"Doom('{scenario}') has no argument '{next(iter(options))}': only 'maze' and 'two-colors' have.")
    return functools.partial(DoomScenario, _of_package(scenario))


def _two_colors(env: TwoColors) -> Scenario:
    rewards = {"living_reward": ALIVE / two_colors.TICS, "item_reward": 1.0, "secret_reward": -1.0}
    return Scenario(
        two_colors.two_colors(env),
        two_colors.BUTTONS,
        two_colors.ACTIONS,
        two_colors.TICS,
        env.horizon,
        (env.height, env.width),
        rewards,
    )


def _of_package(name: str) -> Scenario:
    package = vizdoom()
    folder = Path(package.__file__).parent / "scenarios"
    known = sorted(path.stem for path in folder.glob("*.cfg") if path.with_suffix(".wad").exists())
    if name not in known:
        names = [*known, "two-colors", "maze"]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"Did you mean '{near[0]}'?" if near else f"Give one of {', '.join(names)}."
        raise InputError(f"Doom has no scenario '{name}'. {hint}")
    game = package.DoomGame()
    game.load_config(str(folder / f"{name}.cfg"))
    count = len(game.get_available_buttons())
    actions = [[float(at == button) for at in range(count)] for button in range(-1, count)]
    size, settings = ((64, 64), {"living_reward": 1 / TICS}) if name == TAKE_COVER else ((30, 40), {})
    return Scenario(folder / f"{name}.cfg", (), actions, TICS, None, size, settings)
