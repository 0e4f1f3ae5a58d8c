"""What a memory holds, step by step."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from engram.reports.figures import figure, house_style, save
from engram.runs.trial import Scene

LIMIT = 256
"""The most units that a picture has rows for."""


def units(memory: Any) -> Float[np.ndarray, "time units"]:
    """All numbers of a memory's states side by side; of complex ones the magnitudes."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(memory)]
    numbers = [np.abs(leaf) if np.iscomplexobj(leaf) else leaf for leaf in leaves if np.issubdtype(leaf.dtype, np.inexact)]
    if not numbers:
        return np.zeros((len(leaves[0]) if leaves else 0, 0))
    return np.concatenate([leaf.reshape(len(leaf), -1).astype(float) for leaf in numbers], axis=1)


def draw_memory(scene: Scene, title: str, path: Path) -> None:
    """Draws the states of a memory over time as a heat map, under the loss; dotted lines begin episodes."""
    held = units(scene.memory)[:, :LIMIT]
    loss = np.asarray(scene.said["losses/loss"].total)
    with house_style():
        picture, axes = figure(9.0, 5.0)
        axes.remove()
        above, below = picture.subplots(2, 1, sharex=True, height_ratios=(1, 3))
        above.plot(np.arange(len(loss)), loss, drawstyle="steps-mid")
        above.set(ylabel="loss", title=title)
        largest = float(np.abs(held).max(initial=0.0)) or 1.0
        image = below.imshow(held.T, aspect="auto", cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
        for start in np.flatnonzero(np.asarray(scene.first)):
            for axes in (above, below):
                axes.axvline(start - 0.5, linestyle=":", linewidth=1, color="black")
        below.grid(False)
        below.set(xlabel="step", ylabel="unit")
        picture.colorbar(image, ax=below, label="state", pad=0.01)
        save(picture, path)
