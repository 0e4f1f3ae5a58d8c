"""A film of a timeline: the state of the memory, and the text of each step."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from farback.algorithm import Timeline
from farback.reports.figures import INK, house_style
from farback.reports.memory import memory_figure
from farback.types import InputError

PAUSE = 200
"""The milliseconds between two frames."""


def draw_film(timeline: Timeline, lines: Sequence[str], title: str, path: Path) -> None:
    """Draws `memory_figure` as a GIF, with a cursor at the current step and the text of that step below."""
    with house_style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL import Image

        picture, above, below = memory_figure(timeline, title)
        picture.set_dpi(80)
        picture.set_layout_engine("constrained", rect=(0, 0.08, 1, 0.92))
        canvas = FigureCanvasAgg(picture)
        canvas.draw()
        empty = canvas.copy_from_bbox(picture.bbox)
        cursors = [axes.axvline(0, color=INK, linewidth=1.5) for axes in (above, below)]
        words = picture.text(0.02, 0.03, "", family="monospace", fontsize=11)

        def frame(step: int, line: str) -> Image.Image:
            canvas.restore_region(empty)
            words.set_text(f"{step:4d}  {line}")
            for cursor in cursors:
                cursor.set_xdata([step, step])
                cursor.axes.draw_artist(cursor)
            picture.draw_artist(words)
            return Image.fromarray(np.array(canvas.buffer_rgba())).convert("P", palette=Image.Palette.ADAPTIVE)

        frames = (frame(step, line) for step, line in enumerate(lines))
        try:
            next(frames).save(path, save_all=True, append_images=frames, duration=PAUSE, loop=0)
        except OSError as error:
            raise InputError(f"'{path}' cannot be written: {error.strerror}.") from None
