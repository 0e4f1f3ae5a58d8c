"""What seeds scored: a table for people, and the same as JSON."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from engram.cli.console import show_table
from engram.reports.numbers import number
from engram.reports.summary import Interval, interval
from engram.runs.trial import Aim


def show_scores(title: str, scores: Mapping[str, Mapping[int, float | None]], aim: Aim) -> dict[str, Any]:
    """Shows each metric's mean over seeds with its interval, and gives them, with the levels of the aim."""
    intervals = {
        name: interval([math.nan if value is None else value for value in by_seed.values()])
        for name, by_seed in scores.items()
    }
    levels = [f"{name} {number(value)}" for name, value in aim.levels.items()]
    show_table(
        title,
        ("metric", "mean", "95 % interval", "seeds"),
        [(name, number(one.mean), show_interval(one), str(one.count)) for name, one in intervals.items()],
        f"{aim.metric}: {' · '.join(levels)}" if levels else "",
    )
    found = {name: dataclasses.asdict(one) | {"by_seed": dict(scores[name])} for name, one in intervals.items()}
    return {"levels": dict(aim.levels), "metrics": found}


def show_interval(found: Interval) -> str:
    """An interval, as text."""
    return "" if found.low is None or found.high is None else f"{number(found.low)} to {number(found.high)}"
