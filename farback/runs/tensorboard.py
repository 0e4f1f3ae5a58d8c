"""A listener that writes the log for TensorBoard."""

import itertools
import os
from pathlib import Path

from farback.runs.listener import AbstractListener
from farback.runs.log import Row
from farback.runs.program import Program
from farback.types import InputError


class TensorBoard(AbstractListener):
    """Writes each seed's rows as scalars into `directory/tensorboard/`, one event file per seed and process.

    **Arguments:**

    - `directory`: the run directory.
    """

    def __init__(self, directory: Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise InputError("--tensorboard needs a package: pip install 'farback[tensorboard]'.") from None
        self._make = SummaryWriter
        self._directory = directory / "tensorboard"
        self._writers, self._steps, self._number = {}, {}, itertools.count()

    def begin(self, program: Program, update: int, updates: int) -> None:
        """Each seed's file begins with its first row."""

    def progress(self, update: int, rows: list[Row]) -> None:
        for row in rows:
            writer = self._writer(row)
            for name, value in row.items():
                if "/" in name and value is not None:
                    writer.add_scalar(name, value, row["step"])
        for writer in self._writers.values():
            writer.flush()

    def end(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _writer(self, row):
        """Returns the writer of a row's seed. After a return to an earlier step, TensorBoard hides the later rows."""
        seed, step = row["seed"], row["step"]
        if seed not in self._writers or step <= self._steps[seed]:
            if seed in self._writers:
                self._writers[seed].close()
            suffix = f".{os.getpid()}.{next(self._number)}"  # files of the same second would otherwise share a name
            place = str(self._directory / f"seed-{seed}")
            self._writers[seed] = self._make(place, purge_step=step, filename_suffix=suffix)
        self._steps[seed] = step
        return self._writers[seed]
