"""Data that the papers stand on: what the user has, and what every machine has in its place."""

import hashlib
import os
import platform
import sysconfig
from pathlib import Path

from engram.runs.checkpoint import write_atomically
from engram.tasks import Pixels

LETTERS = 5_600_000
"""Of the text, of which nine tenths are for training: as many as of PTB."""


def given(name: str) -> Path | None:
    """The user's data of a name, such as `ptb` or `mnist`: a directory in `data`, or in what `ENGRAM_DATA` names."""
    path = Path(os.environ.get("ENGRAM_DATA", "data")) / name
    return path if path.is_dir() else None


def permuted_pixels(enlarged: int = 1) -> tuple[str, Pixels]:
    """Images in an order of pixels that is drawn once, as an expression and as a task: MNIST where data/mnist has it, and
    otherwise digits of 8 × 8 pixels.
    """
    mnist = given("mnist")
    path = None if mnist is None else str(mnist)
    first, last = "" if path is None else f"{path!r}, ", "" if enlarged == 1 else f", enlarged={enlarged}"
    return f"Pixels({first}permuted=True{last})", Pixels(path, permuted=True, enlarged=enlarged)


def source_text(letters: int = LETTERS) -> Path:
    """A text that every machine has: the sources of Python's standard library, without its tests, written to a file.

    The files are taken whole, in an order that is drawn once by their names, so that the parts of the text are alike; what
    is not ASCII is left out. Another version of Python has another text.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "engram"
    path = home / f"python-{platform.python_version()}-{letters}.txt"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        write_atomically(path, [_sources(letters)])
    return path


def _sources(letters: int) -> bytes:
    root = Path(sysconfig.get_paths()["stdlib"])
    names = {str(path.relative_to(root)) for path in root.rglob("*.py")}
    left_out = {"site-packages", "dist-packages", "test", "tests", "idlelib"}
    kept = [name for name in names if not left_out & set(Path(name).parts)]
    text = b""
    for name in sorted(kept, key=lambda name: hashlib.sha256(name.encode()).digest()):
        text += (root / name).read_bytes().decode("ascii", "ignore").encode()
        if len(text) >= letters:
            break
    return text[:letters]
