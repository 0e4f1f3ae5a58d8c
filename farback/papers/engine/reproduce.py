"""Running an item, and the result that sets the paper's numbers beside ours."""

import dataclasses
import datetime
import json
import math
import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from farback.papers.engine.item import Case, Item, Measured, Place, Scale, directory_name
from farback.papers.engine.page import Result, crossed
from farback.reports.curves import draw_metric
from farback.reports.ends import draw_ends
from farback.reports.figures import house_style, save
from farback.reports.record import Record, rate, series
from farback.reports.summary import interval
from farback.runs.checkpoint import write_atomically


def reproduce(item: Item, scale: Scale, place: Place) -> Result:
    """Runs or resumes an item at a scale, stores its result and its figure in the place, and returns the result."""
    cases = item.cases(scale)
    home, runs = place.home / item.name / scale, place.home / (item.runs or item.name) / scale
    records: list[Record] = []
    lines: list[Result] = []
    for number, case in enumerate(cases, 1):
        title = f"{item.name} {number}/{len(cases)}: {case.name}"
        measured = case.measure(place._replace(home=runs / directory_name(case.name), title=title))
        records.append(_record(item, case, measured))
        lines += _lines(item, case, records[-1], measured)
    result = {
        **{"item": item.name, "title": item.title, "shows": item.shows, "scale": scale, "unit": item.metric.unit},
        **{"across": item.across is not None, "levels": dict(item.levels), "lines": lines},
        "command": shlex.join(["farback", "reproduce", item.name, "--scale", scale, "--devices", str(place.devices)]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": f"{datetime.date.today():%Y-%m-%d}",
    }
    home.mkdir(parents=True, exist_ok=True)
    with house_style():
        save(_draw(item, records, result), home / "figure.png")
    write_atomically(home / "result.json", [json.dumps(result, indent=1).encode()])
    return result


def _record(item: Item, case: Case, measured: Measured) -> Record:
    """The rows of a case, with the metric in the unit of the paper."""
    name, _, factor = item.metric
    rows = [row if row.get(name) is None else row | {name: factor * row[name]} for row in measured.rows]
    return Record(case.name, {}, rows, name, True, item.levels)


def _draw(item: Item, records: Sequence[Record], result: Result) -> Any:
    if item.across is not None:
        columns, rows, found = crossed(result)
        means = {place: line["ours"]["mean"] for place, line in found.items() if line["ours"]["mean"] is not None}
        scores = {row: [means.get((column, row), math.nan) for column in columns] for row in rows}
        return item.across(columns, scores, item.metric.unit)
    if item.draw is not None:
        return item.draw(records)
    drawn = item.drawn or item.metric.name
    at_ends = item.along == "step" and all(len(series(record, drawn).steps) <= 1 for record in records)
    picture = draw_ends(records, drawn) if at_ends else draw_metric(records, drawn, item.along)
    picture.axes[0].set_title(item.metric.unit if drawn == item.metric.name else drawn.partition("/")[2])
    return picture


def _lines(item: Item, case: Case, record: Record, measured: Measured) -> list[Result]:
    """The line of a case, or one for each point where it was measured."""
    if item.along == "step":
        return [_line(case.name, case, record, item.final(record, record.metric), measured)]
    lines = []
    for point in sorted({row[item.along] for row in record.rows}):
        found = {row["seed"]: row[record.metric] for row in record.rows if row[item.along] == point}
        lines.append(_line(f"{case.name}, {point:,} {item.along}", case, record, found, measured))
    return lines


def _line(name: str, case: Case, record: Record, found: Mapping[int, float], measured: Measured) -> Result:
    ours = dataclasses.asdict(interval(list(found.values())))
    steps = max((row["step"] for row in record.rows), default=0)
    return {
        **{"name": name, "claimed": case.claimed, "ours": {name: _finite(value) for name, value in ours.items()}},
        "by_seed": {str(seed): _finite(value) for seed, value in found.items()},
        **{"steps": steps, "steps_per_second": rate(record), "ended": measured.ended, "note": measured.note},
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
