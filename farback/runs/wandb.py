"""A listener that sends the log to Weights & Biases."""

import hashlib
from pathlib import Path
from typing import Any

from farback.runs.listener import AbstractListener
from farback.runs.log import Row
from farback.runs.program import Program
from farback.types import InputError


class WeightsAndBiases(AbstractListener):
    """Sends each seed's rows to a W&B run of its own; the runs of all seeds form a group.

    With `WANDB_MODE=offline` the rows stay in `directory/wandb/`.

    **Arguments:**

    - `project`: the W&B project.
    - `directory`: the run directory. A run that resumes here resumes its W&B runs.
    - `config`: the configuration that W&B shows.
    """

    def __init__(self, project: str, directory: Path, config: dict[str, Any]):
        try:
            import wandb
        except ImportError:
            raise InputError("--wandb needs a package: pip install 'farback[wandb]'.") from None

        place = directory.resolve()
        common: dict[str, Any] = {"project": project, "group": place.name, "config": config}

        def make(seed: int):
            name = f"{place.name}-{seed}"
            digest = hashlib.sha256(f"{place}-{seed}".encode()).hexdigest()[:16]
            return wandb.init(name=name, id=digest, dir=str(directory), resume="allow", reinit="create_new", **common)

        self._make, self._runs = make, {}

    def begin(self, program: Program, update: int, updates: int) -> None:
        """Each seed's W&B run begins with its first row."""

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
