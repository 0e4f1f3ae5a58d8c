"""Running the items of papers, and setting their numbers beside ours."""

import dataclasses
import datetime
import json
import math
import os
import platform
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from engram.papers.item import Case, Item, Measured, Place, Scale
from engram.papers.page import Result, crossed
from engram.reports.curves import draw_metric
from engram.reports.ends import draw_ends
from engram.reports.figures import house_style, save
from engram.reports.record import Record, rate, series
from engram.reports.summary import interval
from engram.runs.checkpoint import write_atomically
from engram.runs.listener import AbstractListener
from engram.runs.log import Row


def reproduce(
    item: Item,
    scale: Scale,
    directory: Path,
    *,
    devices: int = 1,
    listener: Callable[[str], AbstractListener],
    warn: Callable[[str], None] = print,
    each: Callable[[str, Iterable[Any]], Iterable[Any]] = lambda title, pieces: pieces,
) -> Result:
    """Runs an item, or goes on with it, and gives its numbers; table, figure and numbers are left in the directory.

    **Arguments:**

    - `item`, `scale`: what is run.
    - `directory`: where the runs of all items lie.
    - `devices`: over how many devices the seeds, or else the batch, of each run are laid.
    - `listener`: who hears of the run with a title.
    - `warn`: who is told what a person should know.
    - `each`: with a title, goes through pieces of work that is no run.
    """
    cases = item.cases(scale)
    home, runs = directory / item.name / scale, directory / (item.runs or item.name) / scale
    records, lines = [], []
    for number, case in enumerate(cases, 1):
        title = f"{item.name} {number}/{len(cases)}: {case.name}"
        place = Place(runs / place_of(case.name), devices, partial(listener, title), warn, partial(each, title))
        measured = case.measure(place)
        record = Record(case.name, {}, _in_unit(item, measured.rows), item.metric, True, item.levels)
        records.append(record)
        lines += _lines(item, case, record, measured)
    result = {
        "item": item.name,
        "title": item.title,
        "shows": item.shows,
        "scale": scale,
        "unit": item.unit.name,
        "across": item.across is not None,
        "levels": dict(item.levels),
        "lines": lines,
        "command": shlex.join(["engram", "reproduce", item.name, "--scale", scale, "--devices", str(devices)]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": f"{datetime.date.today():%Y-%m-%d}",
    }
    home.mkdir(parents=True, exist_ok=True)
    with house_style():
        save(_draw(item, records) if item.across is None else item.across(*_scores(result)), home / "figure.png")
    write_atomically(home / "result.json", [json.dumps(result, indent=1).encode()])
    return result


def _draw(item: Item, records: Sequence[Record]):
    if item.draw is not None:
        return item.draw(records)
    drawn = item.drawn or item.metric
    at_ends = item.along == "step" and all(len(series(record, drawn).steps) <= 1 for record in records)
    picture = draw_ends(records, drawn) if at_ends else draw_metric(records, drawn, item.along)
    picture.axes[0].set_title(item.unit.name if drawn == item.metric else drawn.partition("/")[2])
    return picture


def _scores(result: Result) -> tuple[list[str], dict[str, list[float]], str]:
    columns, rows, cells = crossed(result)
    return columns, {row: [_mean(cells.get((column, row))) for column in columns] for row in rows}, result["unit"]


def _mean(line: Result | None) -> float:
    mean = None if line is None else line["ours"]["mean"]
    return math.nan if mean is None else mean


def _in_unit(item: Item, rows: Sequence[Row]) -> list[Row]:
    factor = item.unit.factor
    return [
        {name: factor * value if name == item.metric and value is not None else value for name, value in row.items()}
        for row in rows
    ]


def _lines(item: Item, case: Case, record: Record, measured: Measured) -> list[Result]:
    """The line of a case, or its lines: one for each point that it was measured at."""
    if item.along == "step":
        return [_line(case.name, case, record, item.final(record, item.metric), measured)]
    lines = []
    for point in sorted({row[item.along] for row in record.rows}):
        rows = [row for row in record.rows if row[item.along] == point]
        found = {row["seed"]: row[item.metric] for row in rows}
        lines.append(_line(f"{case.name}, {point:,} {item.along}", case, record, found, measured))
    return lines


def _line(name: str, case: Case, record: Record, found: Mapping[int, float], measured: Measured) -> Result:
    ours = interval(list(found.values()))
    return {
        "name": name,
        "claimed": case.claimed,
        "ours": {name: _finite(value) for name, value in dataclasses.asdict(ours).items()},
        "by_seed": {str(seed): _finite(value) for seed, value in found.items()},
        "steps": max((row["step"] for row in record.rows), default=0),
        "steps_per_second": rate(record),
        "ended": measured.ended,
        "note": measured.note,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def place_of(name: str) -> str:
    """The directory of a case."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()
