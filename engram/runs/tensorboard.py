"""Rows for TensorBoard."""

import itertools
import os
from pathlib import Path

from engram.runs.listener import AbstractListener
from engram.runs.log import Row
from engram.runs.program import Program
from engram.types import InputError


class TensorBoard(AbstractListener):
    """Writes each seed's rows as scalars, one event file a seed and process, into `directory/tensorboard/`."""

    def __init__(self, directory: Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise InputError("--tensorboard needs a package: pip install 'engram[tensorboard]'.") from None
        self._make = SummaryWriter
        self._directory = directory / "tensorboard"
        self._writers, self._steps, self._number = {}, {}, itertools.count()

    def begin(self, program: Program, update: int, updates: int) -> None:
        """Each seed begins with its first row."""

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
        """The writer of a row's seed; what was written from this row on before the run went back is not shown."""
        seed, step = row["seed"], row["step"]
        if seed not in self._writers or step <= self._steps[seed]:
            if seed in self._writers:
                self._writers[seed].close()
            suffix = f".{os.getpid()}.{next(self._number)}"  # files of the same second are told apart by nothing else
            place = str(self._directory / f"seed-{seed}")
            self._writers[seed] = self._make(place, purge_step=step, filename_suffix=suffix)
        self._steps[seed] = step
        return self._writers[seed]
