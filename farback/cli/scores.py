"""The scores of seeds, as a printed table and as JSON."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from farback.algorithm import Criterion
from farback.cli.console import show_table
from farback.reports.numbers import number
from farback.reports.summary import Interval, interval


def show_scores(title: str, scores: Mapping[str, Mapping[int, float | None]], criterion: Criterion) -> dict[str, Any]:
    """Prints each metric's mean over seeds with its interval; returns them with the levels of the criterion."""
    intervals = {
        name: interval([math.nan if value is None else value for value in by_seed.values()])
        for name, by_seed in scores.items()
    }
    levels = [f"{name} {number(value)}" for name, value in criterion.levels.items()]
    show_table(
        title,
        ("metric", "mean", "95 % interval", "seeds"),
        [(name, number(one.mean), show_interval(one), str(one.count)) for name, one in intervals.items()],
        f"{criterion.metric}: {' · '.join(levels)}" if levels else "",
    )
    found = {name: dataclasses.asdict(one) | {"by_seed": dict(scores[name])} for name, one in intervals.items()}
    return {"levels": dict(criterion.levels), "metrics": found}


def show_interval(found: Interval) -> str:
    """Returns an interval as text."""
    return "" if found.low is None or found.high is None else f"{number(found.low)} to {number(found.high)}"
