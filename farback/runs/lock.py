"""The lock of a run directory: one process trains in it at a time."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from farback.types import InputError

LOCK = "lock"


@contextmanager
def lock(directory: Path) -> Generator[None]:
    """Holds the lock of a directory. The system releases it when the process ends, however it ends."""
    with (directory / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"Another process is training in '{directory}': wait until it ends, or give another directory."
            ) from None
        yield
