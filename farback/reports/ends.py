"""The final results of several runs, without curves."""

from collections.abc import Sequence

import numpy as np

from farback.reports.curves import printable
from farback.reports.figures import INK, MUTED, figure
from farback.reports.record import Record, finals, levels
from farback.reports.summary import interval


def draw_ends(records: Sequence[Record], metric: str):
    """Returns a figure with a row per run: its seeds, their mean and its interval. Each level has a row too."""
    known = levels(records, metric)
    names = [record.name for record in records] + list(known)
    picture, axes = figure(5.4, 0.9 + 0.27 * len(names))
    for row, record in enumerate(records):
        values = np.array(list(finals(record, metric).values()))
        axes.plot(values, np.full(len(values), row), "o", color=MUTED, alpha=0.5, markersize=4, gid="seed")
        ours = interval(values)
        axes.plot(ours.mean, row, "|", color=INK, markersize=11, markeredgewidth=2, gid="mean")
        if ours.low is not None and ours.high is not None:
            axes.hlines(row, ours.low, ours.high, color=INK, linewidth=1.4, gid="band")
    for row, level in enumerate(known.values(), len(records)):
        axes.vlines(level, -0.5, row, color=MUTED, linestyle=(0, (1.5, 2.5)), linewidth=1.1, gid="level")
    axes.set_yticks(range(len(names)), [printable(name) for name in names], parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_title(printable(metric), parse_math=False)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    return picture
