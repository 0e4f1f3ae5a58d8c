"""The share of pulls of each arm of a bandit, over the steps of a trial."""

from collections.abc import Sequence

import numpy as np

from farback.reports.curves import printable
from farback.reports.figures import figure
from farback.reports.record import Record, series

ARM = "arms/{}"
"""The metric of the share of pulls of an arm; arm 0 is the best one."""


def draw_choices(records: Sequence[Record]):
    """Returns a figure with a heat map per record: the share of seeds that pull each arm at each step."""
    picture, axes = figure(5.4, 0.6 + 1.5 * len(records))
    axes.remove()
    maps = picture.subplots(len(records), 1, sharex=True, squeeze=False)[:, 0]
    images = []
    for axes, record in zip(maps, records, strict=True):
        arms = sorted({name for row in record.rows for name in row if name.startswith(ARM.format(""))}, key=_number)
        curves = [series(record, arm) for arm in arms]
        steps, shares = curves[0].steps, np.array([curve.values.mean(axis=0) for curve in curves])
        extent = (steps[0] - 0.5, steps[-1] + 0.5, len(arms) + 0.5, 0.5)
        images.append(axes.imshow(shares, aspect="auto", vmin=0, vmax=1, extent=extent, interpolation="nearest"))
        axes.set_yticks(range(1, len(arms) + 1, max(1, len(arms) // 5)))
        axes.grid(False)
        axes.set_title(printable(record.name), parse_math=False, fontsize="medium")
    maps[len(maps) // 2].set_ylabel("arm, best first")
    maps[-1].set_xlabel("pull")
    picture.colorbar(images[0], ax=list(maps), label="share", pad=0.01)
    return picture


def _number(metric: str) -> int:
    return int(metric.rpartition("/")[2])
