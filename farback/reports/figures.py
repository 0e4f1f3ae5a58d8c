"""Figures: the house style, and writing them."""

import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Array, Float

from farback.types import InputError

INK = "#1b2026"
"""The colour of text."""
MUTED = "#68717c"
"""The colour of grids, ticks and reference lines."""
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "font.size": 9.5,
    "grid.color": MUTED,
    "grid.alpha": 0.22,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "farback",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


def _matplotlib():
    try:
        import matplotlib.figure
        import matplotlib.style
    except ImportError:
        raise InputError("Figures need matplotlib: pip install 'farback[plots]'.") from None
    return matplotlib


def pillow():
    """Returns the modules `Image` and `ImageDraw` of Pillow."""
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise InputError("Images need Pillow: pip install 'farback[plots]'.") from None
    return Image, ImageDraw


@contextmanager
def house_style() -> Generator[None, None, None]:
    """Sets the house style for figures that are made and saved inside the context, whatever the user's settings are.

    A glyph that the font lacks is drawn as a box, without a warning.
    """
    with _matplotlib().style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def figure(width: float = 7.0, height: float = 4.0):
    """Returns an empty figure and its axes. No display is needed."""
    picture = _matplotlib().figure.Figure(figsize=(width, height), layout="constrained")
    axes = picture.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return picture, axes


PICTURES = (".png", ".svg", ".pdf")


def check_picture(path: Path, kinds: Sequence[str] = PICTURES) -> None:
    """Refuses a path that does not end in one of `kinds`, or whose folder does not exist."""
    if path.suffix not in kinds:
        wanted = f"{', '.join(kinds[:-1])} or {kinds[-1]}"
        raise InputError(f"'{path}' is not the name of a picture: give a name that ends in {wanted}.")
    if not path.parent.is_dir():
        raise InputError(f"'{path}' cannot be written: there is no folder '{path.parent}'; make it first.")


def save(picture, path: Path) -> None:
    """Writes a figure to a file."""
    check_picture(path)
    try:
        picture.savefig(path, dpi=150)
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error.strerror}.") from None


def draw_reach(norms: Float[Array, " lags"], title: str, path: Path) -> None:
    """Draws the norm of ∂ℓ_t/∂s_{t−k} over k."""
    picture, axes = figure()
    values = np.asarray(norms)
    axes.semilogy(np.arange(len(values)), np.where(values > 0, values, np.nan), marker="o", markersize=3)
    axes.set(xlabel="lag k, steps", ylabel="‖∂ℓₜ/∂sₜ₋ₖ‖, root mean square", title=title)
    save(picture, path)


def draw_curves(
    curves: Mapping[str, Float[Array, " points"]],
    steps: Float[Array, " points"],
    levels: Mapping[str, float],
    labels: tuple[str, str],
    title: str,
    path: Path,
    *,
    log: bool = False,
) -> None:
    """Draws curves over steps, with a horizontal line for each known level."""
    picture, axes = figure()
    for name, values in curves.items():
        axes.plot(np.asarray(steps), np.asarray(values), label=name)
    for name, level in levels.items():
        axes.axhline(level, color="gray", linestyle=":", linewidth=1)
        axes.annotate(name, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="gray")
    axes.set(xlabel=labels[0], ylabel=labels[1], title=title, yscale="log" if log else "linear")
    axes.legend(frameon=False)
    save(picture, path)
