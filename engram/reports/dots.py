"""Several contestants in several contests: a dot for each, in parts of the best there."""

from collections.abc import Mapping, Sequence

import numpy as np

from engram.reports.curves import pen, printable
from engram.reports.figures import figure

MARKERS = "osD^vP"


def draw_dots(contests: Sequence[str], scores: Mapping[str, Sequence[float]], title: str):
    """A figure of scores, NaN where there is none, over the contests; of each, the best of all is 1."""
    picture, axes = figure(5.4, 3.1 + 0.21 * -(-len(scores) // 2))
    values = np.array(list(scores.values()), float)
    best = np.nanmax(values, axis=0)
    places = np.arange(len(contests))
    lines = []
    for index, row in enumerate(values):
        marker, colour = MARKERS[index // len(MARKERS) % len(MARKERS)], pen(index).colour
        apart = 0.6 * ((index + 0.5) / len(values) - 0.5)
        lines += axes.plot(places + apart, row / best, marker, color=colour, markersize=4.5, gid="dots")
    axes.set_xticks(places, [printable(name, 12) for name in contests], fontsize="small")
    axes.set_xlim(-0.5, len(contests) - 0.5)
    axes.set_title(printable(title), parse_math=False)
    axes.set_ylabel("in parts of the best")
    legend = picture.legend(lines, [""] * len(lines), loc="outside lower left", ncols=2, frameon=False)
    for text, name in zip(legend.get_texts(), scores, strict=True):
        text.set(parse_math=False, text=printable(name))
    return picture
