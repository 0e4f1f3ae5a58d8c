"""MemUP in mazes: what is asked, what distracts, and what a policy makes of the memory."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engram.papers.item import RETURN, Case, Measured, Place, Scale, examined, kept, played, until
from engram.papers.optimisers import adam, falling
from engram.reports.record import Record
from engram.runs.config import Config
from engram.runs.log import Row
from engram.runs.run import load, run
from engram.runs.saved import Saved

RMSE = "charts/last_rmse"


class Effort(NamedTuple):
    """The units of a memory, the episodes that are gone through together, and the seeds."""

    units: int
    batch: int
    seeds: int


def maze(corridor: int, distractors: int = 0) -> str:
    """The T-maze LNR, whose memory sees what was done and what came of it."""
    extra = f"distractors={distractors}" if distractors else "extra=10"
    return f"Previous(TMaze({corridor}, {extra}))"


def remembering(env: str, objective: str, length: int, effort: Effort, passes: int, rate: str = "5e-4") -> Config:
    """A memory that is trained in episodes of random play, its input through a layer of 64 units; `rate` is Adam's."""
    config = Config(
        task=None,
        episodes=f"RandomPlay({env})",
        objective=objective,
        cell=f"Chain(Perceptron(64, layers=1), LSTM({effort.units}))",
        estimator="BPTT()",
        optimiser=adam(rate),
        batch=effort.batch,
        length=length,
        steps=1,
        seed=0,
        seeds=effort.seeds,
        log_every=1,
    )
    steps = passes * config.steps_of_update
    return dataclasses.replace(config, steps=steps, log_every=max(1, passes // 100))


WAYS = {"MemUP": "MemUP()", "Rnd-Pred": "MemUP(AtRandom())", "Default": "MemUP(Surprising(0))"}


WINDOWS = 1, 5, 10, 50, 100
"""The steps that credit passes through."""


class Ablation(NamedTuple):
    """How what is asked is compared: by corridor and window, how many episodes are gone through together; the units of a
    memory, the seeds, and at most how many updates for each step of a corridor, and steps of episodes.
    """

    batch: Mapping[int, Mapping[int, int]]
    units: int
    seeds: int
    updates: int
    steps: int


ABLATIONS: dict[Scale, Ablation] = {
    "smoke": Ablation({6: {1: 4}}, 4, 2, 3, 64),
    "laptop": Ablation(
        {100: dict.fromkeys(WINDOWS, 32), 1000: {1: 32, 5: 32, 10: 16, 50: 8, 100: 8}}, 32, 6, 200, 12_800_000
    ),
    "paper": Ablation({corridor: dict.fromkeys(WINDOWS, 64) for corridor in (100, 1000)}, 256, 6, 300, 2_000_000_000),
}


def ablation(scale: Scale) -> list[Case]:
    """As many updates with each window as a corridor asks for, or as there are in so many steps of episodes. With a long
    window an episode has few updates: fewer episodes go together, for more of them.
    """
    there = ABLATIONS[scale]
    cases = []
    for corridor, batches in there.batch.items():
        for way, objective in list(WAYS.items())[: 1 if scale == "smoke" else None]:
            for length, batch in batches.items():
                updates_of_pass, steps = -(-(corridor + 10) // length), batch * (corridor + 10)
                passes = min(there.updates * corridor // updates_of_pass, there.steps // steps)
                effort = Effort(there.units, batch, there.seeds)
                config = remembering(maze(corridor), objective, length, effort, passes, "1e-3")
                cases.append(_told(f"{length}: {way}, {corridor:,} steps", config))
    return cases


def _told(name: str, config: Config) -> Case:
    """The error at the last step of 100 episodes or more at the end of training, as its root mean square."""

    def examine(saved: Saved) -> list[Row]:
        update = saved.facts["update"]
        found = saved.evaluate(-(-100 // config.batch))
        return [
            {"update": update, "step": update * config.steps_of_update, "seed": seed, RMSE: _root(said)}
            for seed, said in found.items()
        ]

    return examined(name, config.program, config.updates, config.record, examine)


def _root(said: Any) -> float:
    tally = said["charts/last_surprise"]
    return math.sqrt(float(tally.total) / float(tally.count))


ERROR, TOLD = "charts/last_surprise", 0.1**2
"""The squared error at the last step, and below which of it the reward there can be told."""
LOOK = 4
"""Passes between two looks at whether all seeds can tell it."""


def distractors(scale: Scale) -> list[Case]:
    """Targets against distractors, in corridors of 100, until all seeds can tell the reward that can be told.

    Surprising is what may come out in several ways for who knows the step alone: the reward that can be told is asked
    about as often after it was learnt as before. As in the paper, nothing is asked of the present. In a pass, each reward
    that is random is asked about at many steps, and learnt by heart, the less, the more episodes are gone through together.
    """
    counts, targets, effort, updates, rate = {
        "smoke": ((1,), (1,), Effort(4, 4, 2), 200, "5e-3"),
        "laptop": ((1, 4, 9, 14, 19), (1, 2, 3, 4, 5), Effort(32, 2048, 6), 4_000, "5e-3"),
        "paper": ((1, 4, 9, 14, 19), (1, 2, 3, 4, 5), Effort(256, 2048, 6), 45_000, "1e-3"),
    }[scale]
    asked, passes = "MemUP(Surprising({}, temperature=0.25), present=False, detector=Spread())", -(-updates // 100)
    cases = []
    for count in counts:
        for target in targets:
            config = remembering(maze(100, count), asked.format(target), 1, effort, passes, falling(rate, updates))
            name = f"{count}: asked about {target}"
            cases.append(until(name, config.program, config.updates, config.record, below(ERROR, TOLD), LOOK))
    return cases


def below(metric: str, level: float) -> Callable[[Sequence[Mapping[str, Any]]], set[int]]:
    """The seeds for which a metric was once below a level."""

    def there(rows: Sequence[Mapping[str, Any]]) -> set[int]:
        return {row["seed"] for row in rows if row.get(metric) is not None and row[metric] < level}

    return there


def updates_to(level: float, updates_of_pass: int) -> Callable[[Record, str], dict[int, float]]:
    """How many updates each seed takes until a metric is below a level; all, if it never is."""

    def final(record: Record, metric: str) -> dict[int, float]:
        there, taken = below(metric, level), {}
        for row in sorted(record.rows, key=lambda row: row["update"], reverse=True):
            if row["seed"] not in taken or there([row]):
                taken[row["seed"]] = float(row["update"] * updates_of_pass)
        return taken

    return final


EPISODES = 1_000
"""That a policy plays at the end."""
POLICY = "PPO(epochs=4, minibatches=4, chunk=1)"


class Play(NamedTuple):
    """How a policy is trained: copies of the environment, episodes of each in a rollout, and rollouts."""

    copies: int
    episodes: int
    updates: int


def solved(name: str, corridor: int, window: int, effort: Effort, passes: int, play: Play) -> Case:
    """A memory, and then a policy that is shown what it holds; each seed has its own."""
    env = maze(corridor)
    rate = falling("1e-3", passes * -(-(corridor + 10) // window))
    memory = dataclasses.replace(remembering(env, "MemUP()", window, effort, passes, rate), seeds=1)
    steps = play.episodes * (corridor + 11)
    policy = Config(
        task=None,
        env=env,
        agent=POLICY,
        cell="Perceptron(64, layers=2)",
        estimator="BPTT()",
        optimiser=adam("1e-3", 0.5),
        batch=play.copies,
        length=steps,
        steps=play.updates * play.copies * steps,
        seed=0,
        seeds=1,
        log_every=1,
        shared=True,
    )

    def measure(place: Place) -> Measured:
        rows: list[Row] = []
        for seed in range(effort.seeds):
            home = place.home / f"seed-{seed}"
            of_seed = [dataclasses.replace(config, seed=seed) for config in (memory, policy)]
            rows += kept(home / "scores.json", lambda home=home, of_seed=of_seed: _acted(place, home, *of_seed))
        return Measured(rows)

    return Case(name, measure)


def _acted(place: Place, home: Path, memory: Config, policy: Config) -> list[Row]:
    """Trains a memory, and then a policy on what it holds; and plays."""
    steps = 0
    for name, config in (("memory", memory), ("policy", dataclasses.replace(policy, memory=str(home / "memory")))):
        run(config, home / name, listeners=[place.listener()], warn=place.warn)
        steps += config.updates * config.steps_of_update
    saved = load(home / "policy", warn=place.warn)
    return [
        {"update": policy.updates, "step": steps, "seed": seed, RETURN: float(found.returns.mean())}
        for seed, found in saved.episodes(EPISODES).items()
    ]


class Maze(NamedTuple):
    """A maze at a scale: its corridor, the window, the memory's effort and passes, and how a policy is trained."""

    corridor: int
    window: int
    effort: Effort
    passes: int
    play: Play


MAZES: dict[Scale, Maze] = {
    "smoke": Maze(6, 1, Effort(8, 8, 1), 2, Play(4, 1, 2)),
    "laptop": Maze(1000, 1, Effort(128, 64, 5), 40, Play(32, 1, 60)),
    "paper": Maze(1000, 1, Effort(256, 64, 10), 300, Play(64, 1, 200)),
}
LONG: dict[Scale, Maze] = {
    "smoke": Maze(8, 4, Effort(8, 8, 1), 2, Play(4, 1, 2)),
    "laptop": Maze(20_000, 1, Effort(64, 32, 3), 60, Play(16, 1, 40)),
    "paper": Maze(20_000, 1, Effort(256, 64, 5), 100, Play(32, 1, 100)),
}


RIVALS = {
    "LSTM": ("LSTM(64)", (1, 10, 100, 1000)),
    "AMRL": ("AMRL(64)", (1, 10, 100, 1000)),
    "transformer": ("GTrXL(64, memory={}, layers=2)", (10, 100)),
}
"""What learns to remember as it learns to act, and the windows that it does so with."""


def mazes(scale: Scale) -> list[Case]:
    """MemUP with a policy; and policies that learn to remember, with windows of r steps, for as many steps."""
    there = MAZES[scale]
    steps = there.passes * there.effort.batch * (there.corridor + 10)
    rivals = []
    for name in {"smoke": (), "laptop": ("LSTM", "AMRL"), "paper": RIVALS}[scale]:
        cell, windows = RIVALS[name]
        for window in windows:
            config = Config(
                task=None,
                env=maze(there.corridor),
                agent="PPO(epochs=4, minibatches=4)",
                cell=f"Chain(Perceptron(64, layers=1), {cell.format(window)})",
                estimator=f"TBPTT({window})",
                optimiser=adam("1e-3", 0.5),
                batch=32,
                length=max(window, 100),
                steps=steps,
                seed=0,
                seeds=there.effort.seeds,
                shared=True,
            )
            config = dataclasses.replace(config, log_every=max(1, config.updates // 200))
            rivals.append(played(f"PPO, {name}, window {window}", config, EPISODES))
    return [solved(f"MemUP and PPO, window {there.window}", *there), *rivals]
