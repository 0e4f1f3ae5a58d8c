"""A memory that MemUP trains, and then a policy that reads it."""

from collections.abc import Sequence

from farback.papers.engine import runs
from farback.papers.engine.item import Case, Measured, Place
from farback.runs.config import Config
from farback.runs.log import Row, means
from farback.runs.run import load, run_config

EPISODES = 1_000
"""The number of episodes that score a policy."""


def in_stages(
    name: str, memory: Config, policy: Config, steps: tuple[int, int], seeds: Sequence[int], episodes: int = EPISODES
) -> Case:
    """Trains a memory and then a policy, anew for each seed, and scores the policy.

    **Arguments:**

    - `memory`, `policy`: the two trainings. The policy's network reads the memory.
    - `steps`: their total steps.
    - `episodes`: the episodes that score a policy.
    """

    def train(seed: int, at: Place) -> list[Row]:
        stages = ("memory", memory, {}), ("policy", policy, {"memory": f"Pretrained({str(at.home / 'memory')!r})"})
        for (stage, config, read), total in zip(stages, steps, strict=True):
            config = config.replace(seed=seed, total_steps=total, **read)
            run_config(config, at.home / stage, listeners=[at.listener(at.title)], warn=at.warn)
        run = load(at.home / "policy", warn=at.warn)
        found = means(run.evaluate(episodes=episodes)[seed])
        return [{"update": run.facts["update"], "step": sum(steps), "seed": seed, **found}]

    def measure(place: Place) -> Measured:
        each = [(seed, place._replace(home=place.home / f"seed-{seed}")) for seed in seeds]
        parts = [runs.kept(at.home / "scores.json", lambda seed=seed, at=at: train(seed, at)) for seed, at in each]
        return Measured([row for rows in parts for row in rows])

    return Case(name, measure)
