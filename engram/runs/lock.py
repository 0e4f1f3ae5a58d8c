"""One process to a directory."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from engram.types import InputError

LOCK = "lock"


@contextmanager
def lock(directory: Path) -> Generator[None]:
    """Keeps other processes from training in a directory; the system lets go of it even if this process is killed."""
    with (directory / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"Another process is training in '{directory}': wait until it ends, or give another --dir."
            ) from None
        yield
