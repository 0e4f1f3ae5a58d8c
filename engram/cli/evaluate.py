"""`engram eval`."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from engram.cli.console import Json, say, show_table
from engram.cli.scores import show_interval, show_scores
from engram.reports.numbers import number
from engram.reports.summary import interval
from engram.runs.acting import ActingTrial
from engram.runs.log import means
from engram.runs.run import load
from engram.runs.saved import Saved, Which
from engram.tasks.base import Part
from engram.types import InputError


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score a saved run on data that it has not seen, without learning, beside the optimum and the best without memory. An
    agent plays whole episodes.

    Two examples that work, after engram train --dir runs/recall:
      engram eval runs/recall

      engram eval runs/recall --checkpoint best --steps 1_000_000 --json
    """

    dir: Annotated[Path, tyro.conf.Positional]
    """The run directory."""
    checkpoint: Which = "newest"
    """Which checkpoint is scored."""
    part: Part = "test"
    """Which part of the data, where the task stands on data; others draw afresh."""
    steps: int = 100_000
    """The time steps of all sequences of a task together; rounded up to as many as whole updates see."""
    episodes: int = 1_000
    """The episodes that each seed of an agent plays."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        for name in ("steps", "episodes"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} {getattr(self, name)}: give 1 at least.")
        saved = load(self.dir, self.checkpoint, warn=say)
        title = f"{self.dir} at update {saved.facts['update']:,}"
        found = self.acted(saved, title) if isinstance(saved.program.trial, ActingTrial) else self.streamed(saved, title)
        return {"dir": str(self.dir), "update": saved.facts["update"]} | found

    def acted(self, saved: Saved, title: str) -> dict[str, Any]:
        """What episodes bring: a line for each seed, whose interval is over its episodes, and what all seeds say."""
        played = saved.episodes(self.episodes)
        each = {seed: interval(np.asarray(one.returns)) for seed, one in played.items()}
        rows = [(str(seed), number(one.mean), show_interval(one), f"{one.count:,}") for seed, one in each.items()]
        show_table(title, ("seed", "return", "95 % interval", "episodes"), rows, "")
        metrics = {
            "charts/episodic_return": {seed: one.mean for seed, one in each.items()},
            "charts/episodic_length": {seed: float(one.lengths.mean()) for seed, one in played.items()},
        }
        scores = show_scores("All seeds", metrics, saved.program.trial.aim)
        return scores | {"episodes": {seed: dataclasses.asdict(one) for seed, one in each.items()}}

    def streamed(self, saved: Saved, title: str) -> dict[str, Any]:
        """What each metric is on fresh data, over seeds."""
        updates = math.ceil(self.steps / saved.program.trial.steps)
        held_out = saved.program.trial.held_out(self.part)
        found = {seed: means(one) for seed, one in saved.evaluate(updates, held_out).items()}
        names = next(iter(found.values()))
        by_metric = {name: {seed: values[name] for seed, values in found.items()} for name in names}
        return show_scores(title, by_metric, held_out.aim)
