"""`engram eval`."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any

import tyro

from engram.cli.console import Json, say
from engram.cli.scores import show_scores
from engram.runs.log import means
from engram.runs.saved import Which, load
from engram.tasks.base import Part
from engram.types import InputError


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score a saved run on data that it has not seen, without learning, beside the optimum and the best without memory.

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
    """The time steps of all sequences together; rounded up to as many as whole updates see."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        if self.steps < 1:
            raise InputError(f"--steps {self.steps}: give 1 at least.")
        saved = load(self.dir, self.checkpoint, warn=say)
        updates = math.ceil(self.steps / saved.program.trial.steps)
        held_out = saved.program.trial.held_out(self.part)
        found = {seed: means(one) for seed, one in saved.evaluate(updates, held_out).items()}
        names = next(iter(found.values()))
        by_metric = {name: {seed: values[name] for seed, values in found.items()} for name in names}
        title = f"{self.dir} at update {saved.facts['update']:,}"
        scores = show_scores(title, by_metric, held_out.objective)
        return {"dir": str(self.dir), "update": saved.facts["update"]} | scores
