"""The parts of a table of measurements."""

import dataclasses
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = {"torch", "braintrace", "sb3", "memorax", "flashbax", "rejax", "sbx", "continuous-rl"}
"""Each has `benchmarks/requirements-NAME.txt` and `benchmarks/NAME_worker.py`."""

Found = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Side:
    """One worker (of ours or of a peer) and its arguments."""

    worker: str
    case: str

    @property
    def python(self) -> Path:
        return HERE / ".envs" / self.worker / "bin" / "python" if self.worker in PEERS else Path(sys.executable)

    @property
    def command(self) -> list[str]:
        """The command, run in the root of the repository."""
        python = self.python.relative_to(ROOT) if self.python.is_relative_to(ROOT) else "python"
        return [str(python), f"benchmarks/{self.worker}_worker.py", *shlex.split(self.case)]


@dataclasses.dataclass(frozen=True)
class Target:
    """A bound on a number computed from the values of a row's sides."""

    number: Callable[..., float]
    bound: float
    at_least: bool
    form: str = "{:.2f}×"

    def met(self, values: list[float]) -> bool:
        found = self.number(*values)
        return found >= self.bound if self.at_least else found <= self.bound

    def shows(self, values: list[float]) -> str:
        return self.form.format(self.number(*values))

    def __str__(self):
        return ("≥ " if self.at_least else "≤ ") + self.form.format(self.bound)


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table: its name, its sides, ours first, and its target."""

    name: str
    sides: tuple[Side, ...]
    target: Target | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of one kind: `value` is the number in the result of a worker, and `shows` formats it.

    `once` means that the number does not vary from run to run.
    """

    section: str
    title: str
    text: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    value: Callable[[Found], float]
    shows: Callable[[Found], str]
    once: bool = False


def ratio(ours: float, theirs: float) -> float:
    return ours / theirs


def first_to_last(ours: float, *others: float) -> float:
    return ours / others[-1]


def inverse_ratio(ours: float, theirs: float) -> float:
    return theirs / ours


def gigabytes(ours: float, *_: float) -> float:
    return ours / 1e9


def seconds(found: Found) -> float:
    return found["seconds"]


def in_microseconds(found: Found) -> str:
    return f"{found['seconds'] * 1e6:.1f} µs"


def in_seconds(found: Found) -> str:
    return f"{found['seconds']:.2f} s"


def mebibytes(number: float) -> str:
    return f"{number / 2**20:.0f} MiB"


def steps_per_second(found: Found) -> float:
    return found["steps_per_second"]


def thousands(found: Found) -> str:
    return f"{found['steps_per_second'] / 1000:.1f}"
