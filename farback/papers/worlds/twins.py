"""Agents in the engine that they were trained in, and in its twin."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from farback.acting import RandomPolicy, evaluate
from farback.envs import AbstractEnv
from farback.papers.engine.item import RETURN, Case, Measured, Place
from farback.papers.engine.runs import Words, clipped_adam, computed, configured, evaluation, metrics
from farback.runs.config import configure
from farback.runs.kinds import build
from farback.runs.log import Row

SEED = 100
"""The first of the seeds that are reported; settings are chosen on others."""
ENGINES = {
    "TwoColors": ("TwoColors()", "Doom('two-colors')"),
    "Maze": ("Maze()", "Doom('maze', held_out=True)"),
    "TakeCover": ("TakeCover()", "Doom('take_cover')"),
}
"""Each world as the ray-caster's, and as ViZDoom's."""
NAMES = "ray-caster", "ViZDoom"


class Effort(NamedTuple):
    """The units of the memory, the steps and the seeds of a training, and the episodes of a score."""

    units: int
    steps: int
    seeds: int
    episodes: int


def twins(worlds: Sequence[str], effort: Effort) -> list[Case]:
    """PPO trained in the ray-caster, and random play, each in both engines."""
    cases = []
    for world in worlds:
        for name, env in zip(NAMES, ENGINES[world], strict=True):
            cases.append(Case(f"{world}: PPO in {name}", partial(_agent, world, name, env, effort)))
        for name, env in zip(NAMES, ENGINES[world], strict=True):
            cases.append(Case(f"{world}: random play in {name}", computed(partial(_random, env, effort))))
    return cases


def _agent(world: str, name: str, env: str, effort: Effort, place: Place) -> Measured:
    """The run is that of the world, whatever engine scores it."""
    copies, window = 64, 64
    updates = max(2, effort.steps // (copies * window))
    words = Words(algorithm="ppo", env=ENGINES[world][0], encoder="Conv(stride=(4, 2), features=64)", shared_memory=True)
    words |= {"cell": f"GRU({effort.units})", "num_envs": copies, "window": window, "minibatches": 8, "epochs": 3}
    words |= {"optimizer": clipped_adam(1e-3, 0.5), "entropy_coef": 0.01, "seed": SEED, "seeds": effort.seeds}
    agent: Any = configure(**words).build()
    scores = metrics(effort.episodes, agent.in_env(build(env, AbstractEnv)).split())
    return evaluation(configured(updates=updates, rows=50, **words), scores, name=name)(place.of(world))


def _random(expression: str, effort: Effort, place: Place) -> tuple[list[Row], str]:
    del place
    env = build(expression, AbstractEnv)
    rows = []
    for group in range(5):
        found = evaluate(env, RandomPolicy(env), jax.random.key(group), effort.episodes)
        rows.append({"seed": group, "update": 0, "step": 0, RETURN.name: float(np.nanmean(found.returns))})
    return rows, ""
