"""The tables of a report as HTML: the results and the configurations of runs side by side."""

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from farback.reports.curves import COLOURS, pen
from farback.reports.numbers import duration, number
from farback.reports.record import RATE, Record, finals, metrics, rate, seconds
from farback.reports.summary import interval

DIFFERS = ' <span class="mark" title="differs between runs">≠</span>'


class Cell(NamedTuple):
    """A cell: a text, a small note below it, and the value that sorts it; `None` sorts last."""

    text: str = "–"
    note: str = ""
    value: float | None = None

    def __str__(self) -> str:
        key = "" if self.value is None else f' data-value="{self.value!r}"'
        return f"<td{key}>{escape(self.text)}{_small(self.note)}</td>"


class Column(NamedTuple):
    """A column: its heading, a small note below it, and its cells."""

    name: str
    note: str
    cells: list[Cell]


def results_table(records: Sequence[Record]) -> str:
    """Returns a table with a row per run: each metric's final mean and interval, the best seed, and the cost."""
    columns = _metric_columns(records) + _cost_columns(records)
    heads = "".join(_head(column.name, column.note, "number") for column in columns)
    rows = "".join(
        f"<tr>{_run_name(record, index, 'row')}{''.join(str(column.cells[index]) for column in columns)}</tr>\n"
        for index, record in enumerate(records)
    )
    return _scrolling(
        f'<table class="results"><thead><tr>{_head("run", "", "text")}{heads}</tr></thead>\n<tbody>{rows}</tbody></table>',
        "Results",
    )


def configuration_table(records: Sequence[Record]) -> str:
    """Returns a table with a row per setting and a column per run. Settings that differ between runs are marked."""
    heads = "".join(_run_name(record, index, "col") for index, record in enumerate(records))
    rows = ""
    for setting in dict.fromkeys(key for record in records for key in record.config):
        shown = [_setting(record.config, setting) for record in records]
        kind, mark = ("", "") if len(set(shown)) == 1 else (' class="differs"', DIFFERS)
        cells = "".join(f"<td>{escape(text)}</td>" for text in shown)
        rows += f'<tr{kind}><th scope="row">{escape(setting)}{mark}</th>{cells}</tr>\n'
    return _scrolling(
        f'<table class="configuration"><thead><tr><td></td>{heads}</tr></thead>\n<tbody>{rows}</tbody></table>',
        "Configuration",
    )


def swatch(index: int) -> str:
    """Returns a short piece of the line of a run as SVG."""
    colour, dash = pen(index)
    return (
        f'<svg class="swatch" viewBox="0 0 22 4" aria-hidden="true"><path d="M0 2H22" stroke-dasharray="{dash}" '
        f'style="stroke: var({colour_variable(index)}, {colour})"/></svg>'
    )


def colour_variable(index: int) -> str:
    """Returns the CSS variable of the colour of a run."""
    return f"--run-{index % len(COLOURS)}"


def _metric_columns(records: Sequence[Record]) -> list[Column]:
    criteria = dict.fromkeys(record.metric for record in records)
    columns: list[Column] = []
    for metric in dict.fromkeys([*criteria, *metrics(records)]):
        if metric == RATE:
            continue
        values = [finals(record, metric) for record in records]
        columns.append(Column(metric, "mean, 95 % interval", [_mean(found) for found in values]))
        if metric in criteria:
            best = [_best(found, record) for found, record in zip(values, records, strict=True)]
            columns.append(Column(metric, "best seed", best))
    return columns


def _mean(values: Mapping[int, float]) -> Cell:
    found = interval(list(values.values()))
    if not found.count:
        return Cell()
    notes = [] if found.low is None or found.high is None else [f"[{number(found.low)}, {number(found.high)}]"]
    if found.count < len(values):
        notes.append(f"{found.count} of {len(values)} seeds")
    return Cell(number(found.mean), ", ".join(notes), found.mean)


def _best(values: Mapping[int, float], record: Record) -> Cell:
    found = {seed: value for seed, value in values.items() if math.isfinite(value)}
    if not found:
        return Cell()
    seed = (min if record.minimise else max)(found, key=lambda seed: found[seed])
    return Cell(number(found[seed]), f"seed {seed}", found[seed])


def _cost_columns(records: Sequence[Record]) -> list[Column]:
    seeds = [len({row["seed"] for row in record.rows}) for record in records]
    steps = [max((row["step"] for row in record.rows), default=0) for record in records]
    rates, times = [rate(record) for record in records], [seconds(record) for record in records]
    return [
        Column("seeds", "", [Cell(str(count), value=count) for count in seeds]),
        Column("steps", "", [Cell(f"{count:,}", value=count) for count in steps]),
        Column("throughput", "steps/s", [Cell() if one is None else Cell(number(one), value=one) for one in rates]),
        Column("wall time", "", [Cell() if one is None else Cell(duration(one), value=one) for one in times]),
    ]


def _head(name: str, note: str, kind: str) -> str:
    button = f'<button type="button"><span>{escape(name)}</span>{_small(note)}</button>'
    return f'<th scope="col" data-kind="{kind}">{button}</th>'


def _run_name(record: Record, index: int, scope: str) -> str:
    return f'<th scope="{scope}">{swatch(index)} {escape(record.name)}</th>'


def _setting(config: Mapping[str, Any], name: str) -> str:
    if name not in config:
        return "–"
    value = config[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _small(text: str) -> str:
    return f" <small>{escape(text)}</small>" if text else ""


def _scrolling(table: str, label: str) -> str:
    return f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">{table}</div>'
