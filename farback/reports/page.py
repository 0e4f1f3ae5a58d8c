"""A report on runs: one self-contained HTML page, and its figures as PNG files."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from farback.reports.curves import COLOURS, POINTS, draw_metric
from farback.reports.figures import INK, MUTED, house_style, save
from farback.reports.numbers import number
from farback.reports.record import RATE, Record, levels, metrics
from farback.reports.svg import inline_svg
from farback.reports.tables import colour_variable, configuration_table, results_table
from farback.reports.template import write_filled
from farback.types import InputError

VARIABLES = {INK: "--ink", MUTED: "--muted"} | {colour: colour_variable(index) for index, colour in enumerate(COLOURS)}


class Drawing(NamedTuple):
    """The figure of a metric: SVG for the page, and the path of its PNG file."""

    metric: str
    svg: str
    png: Path


def write_page(records: Sequence[Record], out: Path) -> list[Path]:
    """Writes a page that needs no network, and a PNG file of every figure into a folder beside it.

    The page is written atomically: it replaces an older one when it is complete. Returns the paths written, the page first.

    **Arguments:**

    - `records`: the runs to report on.
    - `out`: the path of the page.
    """
    _check(records, out)
    drawings = _draw(records, out.with_name(f"{out.stem}-figures"))
    write_filled(
        "page.html",
        out,
        title=escape(", ".join(record.name for record in records)),
        heading=escape(records[0].name if len(records) == 1 else f"{len(records)} runs compared"),
        lead=_objectives(records) + _notice(records),
        results=results_table(records),
        points=POINTS,
        figures="\n".join(map(_figure, drawings)) or "<p>There is nothing to draw yet.</p>",
        marks="Settings marked ≠ differ between runs." if len(records) > 1 else "",
        configuration=configuration_table(records),
    )
    return [out, *(drawing.png for drawing in drawings)]


def _check(records: Sequence[Record], out: Path) -> None:
    if not records:
        raise InputError("There are no runs to report on: give one run directory or more.")
    if out.suffix not in (".html", ".htm") or out.is_dir():
        raise InputError(f"'{out}' is not the name of a page: give a file name that ends in .html.")
    if not out.parent.is_dir():
        raise InputError(f"'{out}' cannot be written: there is no folder '{out.parent}'; make it first.")


def _draw(records: Sequence[Record], folder: Path) -> list[Drawing]:
    drawings: list[Drawing] = []
    for index, metric in enumerate(metrics(records)):
        stem = re.sub("[^A-Za-z0-9]+", "-", metric).strip("-")[:60]
        taken = any(drawing.png.stem == stem for drawing in drawings)
        png = folder / f"{f'{stem}-{index}' if taken or not stem else stem}.png"
        with house_style():
            picture = draw_metric(records, metric)
            label = f"{metric} over the time steps of each run; the table of results has its final values."
            drawings.append(Drawing(metric, inline_svg(picture, f"figure-{index}", label, VARIABLES), png))
            _make(folder)
            save(picture, png)
    return drawings


def _figure(drawing: Drawing) -> str:
    address = quote(f"{drawing.png.parent.name}/{drawing.png.name}")
    about = "Throughput, in steps per second. " if drawing.metric == RATE else ""
    link = f'<a href="{address}" aria-label="{escape(drawing.metric)} as PNG">PNG</a>'
    return f"<figure>{drawing.svg}<figcaption>{about}{link}</figcaption></figure>"


def _objectives(records: Sequence[Record]) -> str:
    """Returns the criteria of the runs and their known levels."""
    text = ""
    for metric, minimise in dict.fromkeys((record.metric, record.minimise) for record in records):
        known = levels(records, metric)
        listed = ", ".join(f"{escape(name)} <b>{number(value)}</b>" for name, value in known.items())
        better = "lower" if minimise else "higher"
        text += f"<p>Criterion <b>{escape(metric)}</b>: {better} is better{f'; {listed}' if listed else ''}.</p>\n"
    return text


def _notice(records: Sequence[Record]) -> str:
    empty = [escape(record.name) for record in records if not record.rows]
    return f'<p class="notice">No rows yet: {", ".join(empty)}. Report again when the log has rows.</p>' if empty else ""


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"'{folder}' cannot be made for the figures: {error.strerror}.") from None
