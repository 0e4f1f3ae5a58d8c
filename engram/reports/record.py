"""One run directory, read: what it was told to do, and what it logged."""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from engram.reports.summary import tail_mean
from engram.runs.config import Config, read_config
from engram.runs.log import read_rows
from engram.runs.trial import Aim

RATE = "charts/SPS"
SECONDS = "time/seconds"
COUNTERS = ("update", "step", "seed")


class Record(NamedTuple):
    """What a report needs to know of a run.

    - `name`: what it is called in tables and legends, such as the directory's name.
    - `config`: shown as it is.
    - `rows`: the lines of its log: `update`, `step`, `seed`, and metrics, which are numbers, or `None` where there is none.
    - `metric`: the aim, one of the rows' metrics; `minimise`: whether less of it is better.
    - `levels`: values of the aim that can be hoped for, or must be surpassed, by name.
    """

    name: str
    config: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    metric: str
    minimise: bool
    levels: Mapping[str, float]


def read_record(directory: Path, aim: Aim | None = None) -> Record:
    """Reads a run directory; `aim` is what the run was after, where no config.json says it."""
    config = {} if aim is not None else dataclasses.asdict(read_config(directory))
    aim = Config(**config).trial().aim if aim is None else aim
    return Record(directory.resolve().name, config, read_rows(directory / "metrics.jsonl"), *aim)


class Series(NamedTuple):
    """A metric over the steps, or along another column; a row a seed; NaN where a seed has no value."""

    steps: Int[np.ndarray, " points"]
    values: Float[np.ndarray, "seeds points"]


def metrics(records: Iterable[Record]) -> list[str]:
    """The metrics that any run has a value of: aims first, the rate last, the rest as they first occur."""
    found = {name: None for record in records for row in record.rows for name in row if np.isfinite(_number(row[name]))}
    aims = {record.metric for record in records}
    names = [name for name in found if name not in (*COUNTERS, SECONDS)]
    return sorted(names, key=lambda name: (name == RATE, name not in aims))


def series(record: Record, metric: str, along: str = "step") -> Series:
    """A metric of a run, without the steps at which no seed has a value."""
    points = {(row["seed"], row[along]): _number(row[metric]) for row in record.rows if metric in row}
    points = {place: value for place, value in points.items() if math.isfinite(value)}
    seeds = {seed: index for index, seed in enumerate(sorted({seed for seed, _ in points}))}
    steps = {step: index for index, step in enumerate(sorted({step for _, step in points}))}
    values = np.full((len(seeds), len(steps)), np.nan)
    for (seed, step), value in points.items():
        values[seeds[seed], steps[step]] = value
    return Series(np.array(list(steps), dtype=int), values)


def thin(curve: Series, points: int) -> Series:
    """At most so many points: equal groups of steps that follow each other, each its mean, at the group's last step."""
    size = -(-len(curve.steps) // points)
    if size <= 1:
        return curve
    starts = np.arange(0, len(curve.steps), size)
    present = np.isfinite(curve.values)
    counts = np.add.reduceat(present, starts, axis=1, dtype=float)
    totals = np.add.reduceat(np.where(present, curve.values, 0), starts, axis=1)
    means = np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0)
    return Series(curve.steps[np.minimum(starts + size, len(curve.steps)) - 1], means)


def finals(record: Record, metric: str) -> dict[int, float]:
    """Each seed's mean of a metric over the last tenth of its rows; NaN where these have no value."""
    values: dict[int, list[float]] = {}
    for row in sorted(record.rows, key=lambda row: row["step"]):
        if metric in row:
            values.setdefault(row["seed"], []).append(_number(row[metric]))
    return {seed: tail_mean(values[seed]) for seed in sorted(values)}


def levels(records: Iterable[Record], metric: str) -> dict[str, float]:
    """The levels of a metric by name, of the runs whose aim it is; where they disagree, the run stands behind its name."""
    runs: dict[tuple[str, float], str] = {}
    for record in records:
        for name, value in record.levels.items():
            if record.metric == metric and math.isfinite(value):
                runs.setdefault((name, value), record.name)
    names = [name for name, _ in runs]
    return {name if names.count(name) == 1 else f"{name} ({run})": value for (name, value), run in runs.items()}


def rate(record: Record) -> float | None:
    """The median of the logged steps a second, which the compilation at the beginning does not move."""
    found = _numbers(record, RATE)
    return statistics.median(found) if found else None


def seconds(record: Record) -> float | None:
    """How long the run took."""
    return max(_numbers(record, SECONDS), default=None)


def _numbers(record: Record, metric: str) -> list[float]:
    values = [_number(row.get(metric)) for row in record.rows]
    return [value for value in values if math.isfinite(value)]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
