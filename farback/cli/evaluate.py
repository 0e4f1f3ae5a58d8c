"""`farback eval`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from farback.agents import AbstractAgent
from farback.algorithm import AbstractAlgorithm
from farback.cli.arguments import OptionalWhole, optional
from farback.cli.console import Json, say, show_table
from farback.cli.scores import show_interval, show_scores
from farback.envs.base import AbstractEnv
from farback.reports.numbers import number
from farback.reports.summary import interval
from farback.runs.kinds import build
from farback.runs.log import means
from farback.runs.run import load
from farback.runs.saved import Which
from farback.types import InputError, Split


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score a run on held-out data, beside the optimum and the best memoryless score.

    An agent is scored on whole episodes.

    Two examples that work, after farback train supervised ... --dir runs/recall:
      farback eval runs/recall
      farback eval runs/recall --checkpoint best --steps 1_000_000 --json
    """

    dir: Annotated[Path, tyro.conf.Positional]
    """The run directory."""
    checkpoint: Which = "newest"
    """The checkpoint to score."""
    split: Split = "test"
    """The part of a fixed data set; other tasks draw fresh data."""
    steps: OptionalWhole = None
    """The total time steps of all sequences of a task, 100_000 by default; rounded up to whole windows."""
    episodes: OptionalWhole = None
    """The episodes per seed for an agent or MemUP, 1_000 by default."""
    env: Annotated[str | None, optional("ENV")] = None
    """Another environment to score an agent in, with the same spaces: "Doom('two-colors')" for TwoColors()."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        loaded = load(self.dir, self.checkpoint, warn=say)
        algorithm = self._algorithm(loaded.algorithm).split(self.split)
        found = loaded.evaluate(episodes=self.episodes, steps=self.steps, algorithm=algorithm)
        title = f"{self.dir} at update {loaded.facts['update']:,}"
        metric = algorithm.criterion.metric
        by_episode = {}
        if algorithm.acts:  # episodes are independent, so each seed has an interval
            each = {seed: interval(np.asarray(metrics[metric].total)) for seed, metrics in found.items()}
            rows = [(str(seed), number(one.mean), show_interval(one), f"{one.count:,}") for seed, one in each.items()]
            show_table(title, ("seed", "return", "95 % interval", "episodes"), rows, "")
            by_episode = {"episodes": {seed: dataclasses.asdict(one) for seed, one in each.items()}}
            title = "All seeds"
        meaned = {seed: means(metrics) for seed, metrics in found.items()}
        names = next(iter(meaned.values()))
        by_metric = {name: {seed: values[name] for seed, values in meaned.items()} for name in names}
        scores = show_scores(title, by_metric, algorithm.criterion)
        return {"dir": str(self.dir), "update": loaded.facts["update"]} | scores | by_episode

    def _algorithm(self, algorithm: AbstractAlgorithm) -> AbstractAlgorithm:
        """The algorithm of the run, in the environment that was given."""
        if self.env is None:
            return algorithm
        if not isinstance(algorithm, AbstractAgent):
            raise InputError(f"--env {self.env}: {type(algorithm).__name__} does not act in an environment; leave it out.")
        return algorithm.in_env(build(self.env, AbstractEnv))
