"""The value of each seed, where it is not the mean over the last tenth of a log."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from farback.reports.record import Record, finals

Final = Callable[[Record, str], dict[int, float]]


def root(record: Record, metric: str) -> dict[int, float]:
    """The square root of the mean over the last tenth."""
    return {seed: math.sqrt(value) for seed, value in finals(record, metric).items()}


def last_steps(count: int) -> Final:
    """The mean of a metric over the last `count` steps of a run."""

    def final(record: Record, metric: str) -> dict[int, float]:
        end = max((row["step"] for row in record.rows), default=0)
        rows = [row for row in record.rows if row["step"] > end - count]
        values = {seed: [row[metric] for row in rows if row["seed"] == seed] for seed in {row["seed"] for row in rows}}
        return {seed: math.nan if None in found else sum(found) / len(found) for seed, found in values.items()}

    return final


def steps_to(level: Callable[[str], float], length: Callable[[str], float] = lambda name: 0.0) -> Final:
    """The steps until the mean of 5 rows of the log exceeds the level of a case; NaN if it never does. `level` and `length`
    take the name of the case. A row counts once the mean length of its episodes reaches `length`.
    """

    def final(record: Record, metric: str) -> dict[int, float]:
        known = [row for row in record.rows if row.get(metric) is not None]
        known = [row for row in known if row["charts/episodic_length"] > length(record.name) - 0.5]
        reached = dict.fromkeys(sorted({row["seed"] for row in record.rows}), math.nan)
        for seed in reached:
            rows = [row for row in known if row["seed"] == seed]
            found = ((row["step"], rows[at - 4 : at + 1]) for at, row in enumerate(rows) if at >= 4)
            above = (step for step, five in found if sum(row[metric] for row in five) / 5 > level(record.name))
            reached[seed] = float(next(above, math.nan))
        return reached

    return final


def updates_below(level: float, updates_per_pass: int) -> Final:
    """The updates until a metric is below a level; all of them, if it never is."""

    def final(record: Record, metric: str) -> dict[int, float]:
        rows = sorted(record.rows, key=lambda row: row["update"])
        last = {row["seed"]: row["update"] for row in rows}
        first = {row["seed"]: row["update"] for row in reversed(rows) if below(metric, level)([row])}
        return {seed: float(updates_per_pass * update) for seed, update in (last | first).items()}

    return final


def below(metric: str, level: float) -> Callable[[Sequence[Mapping[str, Any]]], set[int]]:
    """The seeds whose metric has been below a level, from the rows of a log."""
    return lambda rows: {row["seed"] for row in rows if row.get(metric) is not None and row[metric] < level}
