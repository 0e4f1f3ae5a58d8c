"""The log of a run: one JSON object a line, appended, and cut back to the checkpoint that a run goes on from.

A row is what one seed did in the updates since its row before:

    {"update": 2000, "step": 64000, "seed": 0, "losses/loss": 0.41, "charts/SPS": 91000.0, "time/seconds": 1.4}

Names are those of the field: `losses/...` is optimised, `charts/...` is watched, `charts/SPS` is the time steps of all
seeds in a second. A mean over nothing is null, and so is what is not finite. Only `charts/SPS` and `time/seconds` depend
on the machine, and on the pieces in which a run is run.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from engram.types import InputError, Outcome, Tally

Row = dict[str, Any]
Tallies = dict[str, Tally]


class Log:
    """The file that a run appends its rows to; it is made if need be."""

    def __init__(self, path: Path):
        self.path = path
        self.file = path.open("ab", buffering=0)

    @property
    def size(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    def append(self, rows: list[Row]) -> None:
        """Writes rows, all of them at once."""
        data = memoryview("".join(json.dumps(row) + "\n" for row in rows).encode())
        while data:
            data = data[self.file.write(data) :]

    def cut(self, size: int) -> None:
        """Forgets what was written beyond `size` bytes."""
        if self.size < size:
            raise InputError(
                f"'{self.path}' has {self.size} bytes where {size} were written: rows were lost since. Put it back, or "
                f"give another --dir."
            )
        self.file.truncate(size)

    def sync(self) -> None:
        """Waits until all is on the disk."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()


def read_rows(path: Path) -> list[Row]:
    """The rows of a log, which may be in the course of being written."""
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        try:
            row = json.loads(line)
            rows.append({**row, "update": int(row["update"]), "step": int(row["step"]), "seed": int(row["seed"])})
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            if line.endswith(b"\n"):
                raise InputError(f"Line {number} of '{path}' is no row of a log: the file was changed by hand.") from None
    return rows


def tallies(outcome: Outcome) -> Tallies:
    """What an update has to say, by the names of the log."""
    loss = Tally(outcome.loss, jnp.ones_like(outcome.loss))
    return {"losses/loss": loss} | named(outcome.metrics)


def named(metrics: dict[str, Tally]) -> Tallies:
    """Metrics by the names of the log: what has no section is a chart."""
    return {name if "/" in name else f"charts/{name}": tally for name, tally in metrics.items()}


def means(tallied: Tallies, index: tuple[int, ...] = ()) -> dict[str, float | None]:
    """The means of tallies, at an index of their axes."""
    return {name: _mean(tally.total[index], tally.count[index]) for name, tally in tallied.items()}


def _mean(total, count) -> float | None:
    mean = float(total) / float(count) if count else math.nan
    return mean if math.isfinite(mean) else None
