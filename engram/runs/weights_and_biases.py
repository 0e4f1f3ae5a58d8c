"""Rows for Weights & Biases."""

import hashlib
from pathlib import Path
from typing import Any

from engram.runs.listener import AbstractListener
from engram.runs.log import Row
from engram.runs.program import Program
from engram.types import InputError


class WeightsAndBiases(AbstractListener):
    """Sends each seed's rows to a run of its own, in one group; `WANDB_MODE=offline` keeps them in `directory/wandb/`.

    **Arguments:**

    - `project`: the project.
    - `directory`: the run's; a run that goes on in it goes on there too.
    - `config`: shown beside it.
    """

    def __init__(self, project: str, directory: Path, config: dict[str, Any]):
        try:
            import wandb
        except ImportError:
            raise InputError("--wandb needs a package: pip install 'engram[wandb]'.") from None

        place = directory.resolve()
        common: dict[str, Any] = {"project": project, "group": place.name, "config": config}

        def make(seed: int):
            name = f"{place.name}-{seed}"
            digest = hashlib.sha256(f"{place}-{seed}".encode()).hexdigest()[:16]
            return wandb.init(name=name, id=digest, dir=str(directory), resume="allow", reinit="create_new", **common)

        self._make, self._runs = make, {}

    def begin(self, program: Program, update: int, updates: int) -> None:
        """Each seed begins with its first row."""

    def progress(self, update: int, rows: list[Row]) -> None:
        for row in rows:
            if row["seed"] not in self._runs:
                self._runs[row["seed"]] = self._make(row["seed"])
                self._runs[row["seed"]].define_metric("*", step_metric="step")
            values = {name: value for name, value in row.items() if "/" in name and value is not None}
            self._runs[row["seed"]].log(values | {"step": row["step"]})

    def end(self) -> None:
        for run in self._runs.values():
            run.finish()
