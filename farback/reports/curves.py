"""Curves of one metric of several runs: the mean over seeds, its confidence band, and known levels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from farback.reports.figures import INK, MUTED, figure
from farback.reports.record import Record, Series, levels, series, thin
from farback.reports.summary import FEWEST, band

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b5589a", "#d08700", "#3fa0dc")
"""The colours of Okabe and Ito for colour-blind readers, a little darker where they are faint on white."""
DASHES = ("", "6 2", "1.5 1.5", "7 2 1.5 2")
"""The dashes of the first six runs, of the next six, and so on."""
POINTS = 300
"""The most points of a curve, about one per typographic point of the axes' width."""
LABEL = 44
"""The most characters of a name in a figure."""


class Pen(NamedTuple):
    """The line style of one run throughout a report."""

    colour: str
    dash: str

    @property
    def style(self) -> dict[str, Any]:
        """The style as arguments of matplotlib."""
        return {"color": self.colour, "linestyle": (0, tuple(map(float, self.dash.split()))) if self.dash else "-"}


def pen(index: int) -> Pen:
    """Returns the pen of the run number `index`."""
    return Pen(COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)])


def printable(text: str, length: int = LABEL) -> str:
    """Returns a name without control characters, and with its middle cut out if it is long."""
    clean = "".join(letter if letter.isprintable() else "�" for letter in text)
    return clean if len(clean) <= length else f"{clean[: length // 2]}…{clean[-(length // 2 - 1) :]}"


def draw_metric(records: Sequence[Record], metric: str, along: str = "step"):
    """Returns a figure of a metric over the steps or another column, of the runs that have it; at least one run must."""
    curves = {index: thin(series(record, metric, along), POINTS) for index, record in enumerate(records)}
    curves = {index: curve for index, curve in curves.items() if len(curve.steps)}
    names = [printable(records[index].name) for index in curves]
    columns = 2 if len(names) > 1 and max(map(len, names)) <= LABEL // 2 else 1
    picture, axes = figure(5.4, 3.1 + 0.21 * -(-len(names) // columns))
    lines = [_draw_run(axes, curve, pen(index)) for index, curve in curves.items()]
    known = levels(records, metric)
    values = np.concatenate([curve.values.ravel() for curve in curves.values()] + [np.array(list(known.values()))])
    _scale(axes, values[np.isfinite(values)])
    _draw_levels(axes, known)
    axes.set_title(printable(metric), parse_math=False)
    ends = [curve.steps[-1] for curve in curves.values()]
    if ends and (along != "step" or max(ends) > 10 * min(ends)):
        _scale_along(axes, np.concatenate([curve.steps for curve in curves.values()]))
    axes.set_xlabel("steps" if along == "step" else printable(along), parse_math=False)
    legend = picture.legend(lines, [""] * len(lines), loc="outside lower left", ncols=columns, frameon=False)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(parse_math=False, text=name)
    return picture


def _draw_run(axes, curve: Series, drawn: Pen):
    """Draws one run. A run with a value at step 0 only, which does not learn, is a horizontal line."""
    steps, values = curve
    mean, low, high = band(values)
    if list(steps) == [0]:
        return axes.axhline(mean[0], gid="curve", **drawn.style)
    if len(values) >= FEWEST:
        axes.fill_between(steps, low, high, color=drawn.colour, alpha=0.18, linewidth=0, gid="band")
    elif len(values) > 1:
        for one in values:
            shown = np.isfinite(one)
            axes.plot(steps[shown], one[shown], linewidth=0.7, alpha=0.6, gid="seed", **drawn.style)
    if len(steps) == 1:
        axes.vlines(steps, low, high, color=drawn.colour)
    (line,) = axes.plot(steps, mean, marker="o" if len(steps) == 1 else "", markersize=4, gid="curve", **drawn.style)
    return line


def _scale(axes, values: np.ndarray) -> None:
    """Sets short labels, and a logarithmic axis for positive values over more than two powers of ten."""
    from matplotlib.ticker import EngFormatter, FuncFormatter, NullFormatter, ScalarFormatter

    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if not len(values):
        return
    largest = np.abs(values).max()
    if values.min() > 0 and largest > 100 * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    if 1e4 <= largest < 1e15:
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))


def _scale_along(axes, points: np.ndarray) -> None:
    """Sets a logarithmic axis for positive points over more than two powers of ten."""
    from matplotlib.ticker import EngFormatter, NullFormatter

    if points.max() > 100 * points.min() > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_levels(axes, levels: Mapping[str, float]) -> None:
    """Draws horizontal lines with names at their right ends that do not overlap."""
    for value in levels.values():
        axes.axhline(value, color=MUTED, linestyle=(0, (1.5, 2.5)), linewidth=1.1, gid="level")
    axes.autoscale_view()
    to_height = axes.transData + axes.transAxes.inverted()
    height = -1.0
    for name, value in sorted(levels.items(), key=lambda level: level[1]):
        height = max(float(to_height.transform((0, value))[1]), height + 0.06)
        axes.text(1.01, height, printable(name, 24), transform=axes.transAxes, va="center", color=INK, parse_math=False)
