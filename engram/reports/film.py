"""A film of what is seen and remembered."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engram.reports.figures import INK, house_style
from engram.reports.memory import memory_figure
from engram.runs.trial import Scene
from engram.types import InputError

PAUSE = 200
"""Between two pictures, in milliseconds."""


def draw_film(scene: Scene, looks: Sequence[str], title: str, path: Path) -> None:
    """Draws `memory_figure` as a GIF, with a line that walks through it and what each step looks like."""
    with house_style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL import Image

        picture, above, below = memory_figure(scene, title)
        picture.set_dpi(80)
        picture.set_layout_engine("constrained", rect=(0, 0.08, 1, 0.92))
        canvas = FigureCanvasAgg(picture)
        canvas.draw()
        empty = canvas.copy_from_bbox(picture.bbox)
        lines = [axes.axvline(0, color=INK, linewidth=1.5) for axes in (above, below)]
        words = picture.text(0.02, 0.03, "", family="monospace", fontsize=11)

        def frame(step: int, look: str) -> Image.Image:
            canvas.restore_region(empty)
            words.set_text(f"{step:4d}  {look}")
            for line in lines:
                line.set_xdata([step, step])
                line.axes.draw_artist(line)
            picture.draw_artist(words)
            return Image.fromarray(np.array(canvas.buffer_rgba())).convert("P", palette=Image.Palette.ADAPTIVE)

        frames = (frame(step, look) for step, look in enumerate(looks))
        try:
            next(frames).save(path, save_all=True, append_images=frames, duration=PAUSE, loop=0)
        except OSError as error:
            raise InputError(f"'{path}' cannot be written: {error.strerror}.") from None
