"""The state of a memory, step by step."""

from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from farback.algorithm import Timeline
from farback.reports.figures import figure, house_style, save
from farback.runs.log import means

LIMIT = 256
"""The most units that a figure shows."""
CURVES = ("losses/loss", "charts/reward", "charts/value")
"""The metrics that are drawn above the memory, if the timeline has them."""
CUE = "#e69f00"


def units(timeline: Timeline) -> Float[np.ndarray, "time units"]:
    """Returns the floating-point numbers of the memory's states side by side; for complex ones, the magnitudes."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(timeline.memory)]
    numbers = [np.abs(leaf) if np.iscomplexobj(leaf) else leaf for leaf in leaves if np.issubdtype(leaf.dtype, np.inexact)]
    if not numbers:
        return np.zeros((len(timeline.first), 0))
    return np.concatenate([leaf.reshape(len(leaf), -1).astype(float) for leaf in numbers], axis=1)


def memory_figure(timeline: Timeline, title: str):
    """Returns `(figure, above, below)`: the metrics of a timeline above a heat map of the memory's states, and their axes.

    Each unit is scaled by its largest magnitude. Dotted lines mark the first steps of episodes; shaded steps are cues,
    whose observations a later action or output needs. Without memory, the heat map is empty.
    """
    held = units(timeline)[:, :LIMIT]
    picture, axes = figure(9.0, 5.0)
    axes.remove()
    above, below = picture.subplots(2, 1, sharex=True, height_ratios=(1, 3))
    shown = [means(timeline.metrics, (step,)) for step in range(len(held))]
    for name in CURVES:
        if name in timeline.metrics:
            values = [np.nan if step[name] is None else step[name] for step in shown]
            above.plot(values, drawstyle="steps-mid", label=name.partition("/")[2])
    above.set(title=title)
    shares = held / np.maximum(np.abs(held).max(axis=0, initial=0.0), 1e-12)
    rows = shares.T if held.size else np.full((1, len(held)), np.nan)
    image = below.imshow(rows, aspect="auto", cmap="RdBu_r", vmin=-1.0, vmax=1.0, interpolation="nearest")
    for axes in (above, below):
        for start in np.flatnonzero(np.asarray(timeline.first)):
            axes.axvline(start - 0.5, linestyle=":", linewidth=1, color="black")
    for index, step in enumerate(np.flatnonzero(np.asarray(timeline.cue))):
        above.axvspan(step - 0.5, step + 0.5, color=CUE, alpha=0.5, linewidth=0, label="cue" if index == 0 else None)
    above.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    below.grid(False)
    below.set(xlabel="step", ylabel="unit")
    picture.colorbar(image, ax=below, label="state / largest", pad=0.01)
    return picture, above, below


def draw_memory(timeline: Timeline, title: str, path: Path) -> None:
    """Draws `memory_figure` to a file."""
    with house_style():
        save(memory_figure(timeline, title)[0], path)
