"""Trainings in stages: a memory that MemUP trains, and then a policy that reads it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from farback.papers.engine import runs
from farback.papers.engine.item import Case, Measured, Place
from farback.runs.config import Config
from farback.runs.log import Row, means
from farback.runs.run import load, run_config

EPISODES = 1_000
"""The number of episodes that score a policy."""


class Stage(NamedTuple):
    """A training.

    - `name`: its name.
    - `config`: its configuration.
    - `steps`: its total steps.
    - `reads`: arguments that read earlier stages, as expressions with `{name}` for the directory of a stage.
    """

    name: str
    config: Config
    steps: int
    reads: Mapping[str, str] = {}


def in_stages(name: str, stages: Sequence[Stage], seeds: Sequence[int], episodes: int = EPISODES) -> Case:
    """Trains in stages, anew for each seed, and scores the policy of the last stage.

    **Arguments:**

    - `episodes`: the episodes that score a policy.
    """

    def train(seed: int, at: Place) -> list[Row]:
        directories = {stage.name: repr(str(at.home / stage.name)) for stage in stages}
        for stage in stages:
            read = {argument: text.format(**directories) for argument, text in stage.reads.items()}
            config = stage.config.replace(seed=seed, total_steps=stage.steps, **read)
            run_config(config, at.home / stage.name, listeners=[at.listener(at.title)], warn=at.warn)
        run = load(at.home / stages[-1].name, warn=at.warn)
        found = means(run.evaluate(episodes=episodes)[seed])
        return [{"update": run.facts["update"], "step": sum(stage.steps for stage in stages), "seed": seed, **found}]

    def measure(place: Place) -> Measured:
        each = [(seed, place._replace(home=place.home / f"seed-{seed}")) for seed in seeds]
        parts = [runs.kept(at.home / "scores.json", lambda seed=seed, at=at: train(seed, at)) for seed, at in each]
        return Measured([row for rows in parts for row in rows])

    return Case(name, measure)
