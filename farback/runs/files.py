"""Files that are written whole or not at all."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class DamagedError(Exception):
    """The bytes of a file differ from those that were written."""


def write_atomically(path: Path, pieces: Iterable[Any]) -> None:
    """Writes a file so that its path names either the new content or the old, at every moment."""
    replace(path, pieces)
    sync_directory(path.parent)


def replace(path: Path, pieces: Iterable[Any]) -> None:
    """Writes a file as `write_atomically` does, but leaves it to the caller to flush its name, once for many files."""
    beside = path.with_name(f".{path.name}.part")
    try:
        with open(beside, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        error.filename = error.filename or str(path)
        raise


def sync_directory(directory: Path) -> None:
    """Flushes the names in a directory to disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
