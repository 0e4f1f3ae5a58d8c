"""The record of a run: its configuration, its log and its criterion."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from farback.algorithm import Criterion
from farback.reports.summary import tail_mean
from farback.runs.config import read_config
from farback.runs.log import read_rows

RATE = "charts/SPS"
SECONDS = "time/seconds"
COUNTERS = ("update", "step", "seed")


class Record(NamedTuple):
    """The data of a run that a report shows.

    - `name`: the name in tables and legends, such as the name of the directory.
    - `config`: the settings to show.
    - `rows`: the rows of the log: `update`, `step`, `seed`, and metrics, which are numbers or `None`.
    - `metric`: the criterion, one of the metrics.
    - `minimise`: whether lower is better.
    - `levels`: known values of the criterion by name, such as the optimum.
    """

    name: str
    config: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    metric: str
    minimise: bool
    levels: Mapping[str, float]


def read_record(directory: Path, criterion: Criterion | None = None) -> Record:
    """Reads a run directory.

    **Arguments:**

    - `directory`: the run directory.
    - `criterion`: the criterion of the run, for a directory without config.json.
    """
    shown: dict[str, Any] = {}
    if criterion is None:
        config = read_config(directory)
        shown = {"algorithm": config.algorithm, **config.arguments}
        shown |= {name: getattr(config, name) for name in ("total_steps", "seed", "seeds", "log_every")}
        criterion = config.build().criterion
    return Record(directory.resolve().name, shown, read_rows(directory / "metrics.jsonl"), *criterion)


class Series(NamedTuple):
    """A metric of several seeds over the steps or another column; NaN where a seed has no value."""

    steps: Int[np.ndarray, " points"]
    values: Float[np.ndarray, "seeds points"]


def metrics(records: Iterable[Record]) -> list[str]:
    """Returns the metrics that have a value in any run: criteria first, the rate last, others as they occur."""
    found = {name: None for record in records for row in record.rows for name in row if np.isfinite(_number(row[name]))}
    criteria = {record.metric for record in records}
    names = [name for name in found if name not in (*COUNTERS, SECONDS)]
    return sorted(names, key=lambda name: (name == RATE, name not in criteria))


def series(record: Record, metric: str, along: str = "step") -> Series:
    """Returns a metric of a run at the steps where a seed has a value."""
    points = {(row["seed"], row[along]): _number(row[metric]) for row in record.rows if metric in row}
    points = {place: value for place, value in points.items() if math.isfinite(value)}
    seeds = {seed: index for index, seed in enumerate(sorted({seed for seed, _ in points}))}
    steps = {step: index for index, step in enumerate(sorted({step for _, step in points}))}
    values = np.full((len(seeds), len(steps)), np.nan)
    for (seed, step), value in points.items():
        values[seeds[seed], steps[step]] = value
    return Series(np.array(list(steps), dtype=int), values)


def thin(curve: Series, points: int) -> Series:
    """Returns a series of at most `points` points: the means of equal groups of steps, each at the group's last step."""
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
    """Returns each seed's mean of a metric over the last tenth of its rows; NaN where these have no value."""
    values: dict[int, list[float]] = {}
    for row in sorted(record.rows, key=lambda row: row["step"]):
        if metric in row:
            values.setdefault(row["seed"], []).append(_number(row[metric]))
    return {seed: tail_mean(values[seed]) for seed in sorted(values)}


def levels(records: Iterable[Record], metric: str) -> dict[str, float]:
    """Returns the levels of a metric by name, from the runs whose criterion it is. Levels that differ name their runs."""
    runs: dict[tuple[str, float], str] = {}
    for record in records:
        for name, value in record.levels.items():
            if record.metric == metric and math.isfinite(value):
                runs.setdefault((name, value), record.name)
    names = [name for name, _ in runs]
    return {name if names.count(name) == 1 else f"{name} ({run})": value for (name, value), run in runs.items()}


def rate(record: Record) -> float | None:
    """Returns the median of the logged steps per second, which compilation does not affect."""
    found = _numbers(record, RATE)
    return statistics.median(found) if found else None


def seconds(record: Record) -> float | None:
    """Returns the duration of the run in seconds."""
    return max(_numbers(record, SECONDS), default=None)


def _numbers(record: Record, metric: str) -> list[float]:
    values = [_number(row.get(metric)) for row in record.rows]
    return [value for value in values if math.isfinite(value)]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
