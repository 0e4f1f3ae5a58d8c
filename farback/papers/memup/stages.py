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
    - `case`: the case that the run of this stage belongs to, if it is another one.
    """

    name: str
    config: Config
    steps: int
    reads: Mapping[str, str] = {}
    case: str = ""


def in_stages(name: str, stages: Sequence[Stage], seeds: Sequence[int], episodes: int = EPISODES) -> Case:
    """Trains in stages, anew for each seed, and scores the policy of the last stage.

    **Arguments:**

    - `episodes`: the episodes that score a policy.
    """

    def train(seed: int, place: Place) -> list[Row]:
        homes = {stage.name: place.of(stage.case or name).home / f"seed-{seed}" / stage.name for stage in stages}
        directories = {stage: repr(str(home)) for stage, home in homes.items()}
        for stage in stages:
            read = {argument: text.format(**directories) for argument, text in stage.reads.items()}
            config = stage.config.replace(seed=seed, total_steps=stage.steps, **read)
            run_config(config, homes[stage.name], listeners=[place.listener(place.title)], warn=place.warn)
        run = load(homes[stages[-1].name], warn=place.warn)
        found = means(run.evaluate(episodes=episodes)[seed])
        return [{"update": run.facts["update"], "step": sum(stage.steps for stage in stages), "seed": seed, **found}]

    def measure(place: Place) -> Measured:
        stored = {seed: place.home / f"seed-{seed}" / "scores.json" for seed in seeds}
        parts = [runs.kept(path, lambda seed=seed: train(seed, place)) for seed, path in stored.items()]
        return Measured([row for rows in parts for row in rows])

    return Case(name, measure)
