"""A film of a timeline: the images of each step, the state of the memory, and the text of the step."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from farback.algorithm import Timeline
from farback.reports.figures import INK, house_style, pillow
from farback.reports.memory import memory_figure
from farback.types import InputError

PAUSE = 200
"""The milliseconds between two frames."""
TALL, GAP = 240, 16
"""The height of images, and the space around them, in pixels."""


def draw_film(
    timeline: Timeline, lines: Sequence[str], images: Iterable[Mapping[str, np.ndarray]], title: str, path: Path
) -> None:
    """Draws the images of each step above `memory_figure` as a GIF, with a cursor at the step and its text below."""
    pictures, _ = pillow()
    with house_style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        picture, above, below = memory_figure(timeline, title)
        picture.set_dpi(80)
        picture.set_layout_engine("constrained", rect=(0, 0.08, 1, 0.92))
        canvas = FigureCanvasAgg(picture)
        canvas.draw()
        empty = canvas.copy_from_bbox(picture.bbox)
        cursors = [axes.axvline(0, color=INK, linewidth=1.5) for axes in (above, below)]
        words = picture.text(0.02, 0.03, "", family="monospace", fontsize=11)

        def frame(step: int, line: str, seen: Mapping[str, np.ndarray]):
            canvas.restore_region(empty)
            words.set_text(f"{step:4d}  {line}")
            for cursor in cursors:
                cursor.set_xdata([step, step])
                cursor.axes.draw_artist(cursor)
            picture.draw_artist(words)
            drawn = pictures.fromarray(np.array(canvas.buffer_rgba())).convert("RGB")
            return _with_images(drawn, seen).convert("P", palette=pictures.Palette.ADAPTIVE)

        frames = (frame(*each) for each in zip(range(len(lines)), lines, images, strict=True))
        try:
            next(frames).save(path, save_all=True, append_images=frames, duration=PAUSE, loop=0)
        except OSError as error:
            raise InputError(f"'{path}' cannot be written: {error.strerror}.") from None


def _with_images(drawn, seen: Mapping[str, np.ndarray]):
    """A frame below its images, which stand side by side, each enlarged to the same height, under its name."""
    if not seen:
        return drawn
    images, drawing = pillow()
    sizes = [(round(TALL * image.shape[1] / image.shape[0]), TALL) for image in seen.values()]
    width = max(drawn.width, GAP + sum(width + GAP for width, _ in sizes))
    whole = images.new("RGB", (width, TALL + 2 * GAP + drawn.height), "white")
    whole.paste(drawn, (0, TALL + 2 * GAP))
    write, left = drawing.Draw(whole), GAP
    for (name, image), size in zip(seen.items(), sizes, strict=True):
        whole.paste(images.fromarray(image).resize(size, images.Resampling.NEAREST), (left, GAP + 4))
        write.text((left, 4), name, fill=INK)
        left += size[0] + GAP
    return whole
