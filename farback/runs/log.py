"""The log of a run: one JSON object per line. A run that resumes cuts its log back to its checkpoint.

A row covers the updates of one seed since its previous row:

    {"update": 2000, "step": 64000, "seed": 0, "losses/loss": 0.41, "charts/SPS": 91000.0, "time/seconds": 1.4}

Metrics are named as in CleanRL: `losses/...`, `charts/...`; `charts/SPS` is the time steps per second of all seeds
together. A mean over no values is null, and so is a value that is not finite. Only `charts/SPS` and `time/seconds` depend
on the machine and on interruptions.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from farback.step import Metrics
from farback.types import InputError

Row = dict[str, Any]


class Log:
    """The file of a log; it is created if it does not exist."""

    def __init__(self, path: Path):
        self.path = path
        self.file = path.open("ab", buffering=0)

    @property
    def size(self) -> int:
        """The bytes of the file."""
        return os.fstat(self.file.fileno()).st_size

    def append(self, rows: list[Row]) -> None:
        """Appends rows in one write."""
        data = memoryview("".join(json.dumps(row) + "\n" for row in rows).encode())
        while data:
            data = data[self.file.write(data) :]

    def cut(self, size: int) -> None:
        """Cuts the file back to `size` bytes."""
        if self.size < size:
            raise InputError(
                f"'{self.path}' has {self.size} bytes, but the checkpoint recorded {size}: rows were lost. Restore the "
                f"file, or give another directory."
            )
        self.file.truncate(size)

    def sync(self) -> None:
        """Flushes the file to disk."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()


def read_rows(path: Path) -> list[Row]:
    """Reads the rows of a log, which another process may be writing."""
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        try:
            row = json.loads(line)
            rows.append({**row, "update": int(row["update"]), "step": int(row["step"]), "seed": int(row["seed"])})
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            if line.endswith(b"\n"):
                raise InputError(
                    f"Line {number} of '{path}' is not a row of a log: the file was edited. Restore it."
                ) from None
    return rows


def means(metrics: Metrics, index: Any = ()) -> dict[str, float | None]:
    """Returns the mean of each tally at an index, over its remaining axes; `None` where it is not finite."""
    return {name: _mean(np.sum(tally.total[index]), np.sum(tally.count[index])) for name, tally in metrics.items()}


def _mean(total, count) -> float | None:
    mean = float(total) / float(count) if count else math.nan
    return mean if math.isfinite(mean) else None
