"""What a memory holds, step by step."""

from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from engram.reports.figures import figure, house_style, save
from engram.runs.log import means
from engram.runs.trial import Scene

LIMIT = 256
"""The most units that a picture has rows for."""
CURVES = ("losses/loss", "charts/reward", "charts/value")
"""What is drawn above a memory, where it was said."""
CUE = "#e69f00"


def units(scene: Scene) -> Float[np.ndarray, "time units"]:
    """All numbers of the memory's states side by side; of complex ones the magnitudes."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(scene.memory)]
    numbers = [np.abs(leaf) if np.iscomplexobj(leaf) else leaf for leaf in leaves if np.issubdtype(leaf.dtype, np.inexact)]
    if not numbers:
        return np.zeros((len(scene.first), 0))
    return np.concatenate([leaf.reshape(len(leaf), -1).astype(float) for leaf in numbers], axis=1)


def memory_figure(scene: Scene, title: str):
    """A figure of the states of a memory over time as a heat map, under what was said of each step; and its two axes.

    Each unit is shown beside its own largest state; of no memory the map is empty. Dotted lines begin episodes, and what is
    to be remembered is seen in the shaded steps.
    """
    held = units(scene)[:, :LIMIT]
    picture, axes = figure(9.0, 5.0)
    axes.remove()
    above, below = picture.subplots(2, 1, sharex=True, height_ratios=(1, 3))
    said = [means(scene.said, (step,)) for step in range(len(held))]
    for name in CURVES:
        if name in scene.said:
            values = [np.nan if step[name] is None else step[name] for step in said]
            above.plot(values, drawstyle="steps-mid", label=name.partition("/")[2])
    above.set(title=title)
    shares = held / np.maximum(np.abs(held).max(axis=0, initial=0.0), 1e-12)
    rows = shares.T if held.size else np.full((1, len(held)), np.nan)
    image = below.imshow(rows, aspect="auto", cmap="RdBu_r", vmin=-1.0, vmax=1.0, interpolation="nearest")
    for axes in (above, below):
        for start in np.flatnonzero(np.asarray(scene.first)):
            axes.axvline(start - 0.5, linestyle=":", linewidth=1, color="black")
    for index, step in enumerate(np.flatnonzero(np.asarray(scene.cue))):
        above.axvspan(step - 0.5, step + 0.5, color=CUE, alpha=0.5, linewidth=0, label="cue" if index == 0 else None)
    above.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    below.grid(False)
    below.set(xlabel="step", ylabel="unit")
    picture.colorbar(image, ax=below, label="state, of its largest", pad=0.01)
    return picture, above, below


def draw_memory(scene: Scene, title: str, path: Path) -> None:
    """Draws `memory_figure`."""
    with house_style():
        save(memory_figure(scene, title)[0], path)
