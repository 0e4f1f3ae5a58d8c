"""A table of scores as a heat map."""

from collections.abc import Mapping, Sequence

import numpy as np

from farback.reports.curves import printable
from farback.reports.figures import figure
from farback.reports.numbers import number


def draw_grid(columns: Sequence[str], scores: Mapping[str, Sequence[float]], title: str):
    """Returns a heat map of scores, darker where they are larger, with a dash where a score is missing."""
    picture, axes = figure(1.9 + 0.9 * len(columns), 1.2 + 0.45 * len(scores))
    values = np.array(list(scores.values()), float)
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    axes.imshow(values, aspect="auto", cmap="Blues", vmin=low, vmax=high + (high - low) / 3 + 1e-12)
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, number(value) if np.isfinite(value) else "–", ha="center", va="center")
    axes.set_xticks(range(len(columns)), [printable(name, 18) for name in columns], fontsize="small")
    axes.set_yticks(range(len(scores)), [printable(name, 24) for name in scores], fontsize="small")
    axes.grid(False)
    axes.set_title(printable(title), parse_math=False)
    return picture
