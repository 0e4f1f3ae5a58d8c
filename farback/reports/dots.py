"""The scores of several methods on several problems, as dots relative to the best score."""

from collections.abc import Mapping, Sequence

import numpy as np

from farback.reports.curves import pen, printable
from farback.reports.figures import figure

MARKERS = "osD^vP"


def draw_dots(problems: Sequence[str], scores: Mapping[str, Sequence[float]], title: str):
    """Returns a figure of scores over problems, divided by the best score of each problem; NaN is a missing score."""
    picture, axes = figure(5.4, 3.1 + 0.21 * -(-len(scores) // 2))
    values = np.array(list(scores.values()), float)
    best = np.nanmax(values, axis=0)
    places = np.arange(len(problems))
    lines = []
    for index, row in enumerate(values):
        marker, colour = MARKERS[index // len(MARKERS) % len(MARKERS)], pen(index).colour
        apart = 0.6 * ((index + 0.5) / len(values) - 0.5)
        lines += axes.plot(places + apart, row / best, marker, color=colour, markersize=4.5, gid="dots")
    axes.set_xticks(places, [printable(name, 12) for name in problems], fontsize="small")
    axes.set_xlim(-0.5, len(problems) - 0.5)
    axes.set_title(printable(title), parse_math=False)
    axes.set_ylabel("score / best score")
    legend = picture.legend(lines, [""] * len(lines), loc="outside lower left", ncols=2, frameon=False)
    for text, name in zip(legend.get_texts(), scores, strict=True):
        text.set(parse_math=False, text=printable(name))
    return picture
