"""The data of the reproductions: the user's, or a substitute that every machine has."""

import hashlib
import os
import platform
import sysconfig
from pathlib import Path

from farback.runs.checkpoint import write_atomically
from farback.tasks import Pixels

LETTERS = 5_600_000
"""The number of letters of PTB. Nine tenths of them are for training."""


def given(name: str) -> Path | None:
    """The user's data, such as `ptb` or `mnist`: a directory in `data`, or in the one that `FARBACK_DATA` names."""
    path = Path(os.environ.get("FARBACK_DATA", "data")) / name
    return path if path.is_dir() else None


def permuted_pixels(enlarged: int = 1) -> tuple[str, Pixels]:
    """Images in a fixed random order of pixels, as expression and task: MNIST if `data/mnist` has it, or 8 × 8 digits."""
    mnist = given("mnist")
    path = None if mnist is None else str(mnist)
    first, last = "" if path is None else f"{path!r}, ", "" if enlarged == 1 else f", enlarged={enlarged}"
    return f"Pixels({first}permuted=True{last})", Pixels(path, permuted=True, enlarged=enlarged)


def source_text(letters: int = LETTERS) -> Path:
    """A text that every machine has: ASCII sources of Python's standard library, without its tests, written to a file.

    The files are in a fixed random order, so that all parts of the text are alike. Each version of Python has its own text.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "farback"
    path = home / f"python-{platform.python_version()}-{letters}.txt"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        write_atomically(path, [_sources(letters)])
    return path


def _sources(letters: int) -> bytes:
    root = Path(sysconfig.get_paths()["stdlib"])
    names, left_out = root.rglob("*.py"), {"site-packages", "dist-packages", "test", "tests", "idlelib"}
    kept = {str(name) for path in names if not left_out & set((name := path.relative_to(root)).parts)}
    text, order = b"", iter(sorted(kept, key=lambda name: hashlib.sha256(name.encode()).digest()))
    while len(text) < letters and (name := next(order, None)) is not None:
        text += (root / name).read_bytes().decode("ascii", "ignore").encode()
    return text[:letters]
