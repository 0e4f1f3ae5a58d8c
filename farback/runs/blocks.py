"""The big arrays of checkpoints, such as a replay buffer, in blocks. What two checkpoints share is stored once.

An array of more than `BLOCK` bytes is cut into blocks of `BLOCK` bytes; its last block may be shorter. A block is a file in
the folder `blocks` beside the checkpoints. Its name is the SHA-256 of its bytes, so equal blocks are one file, and a block
never changes. A checkpoint lists the names of its blocks: saving an array again writes the blocks that have changed.

Blocks are flushed to disk before the checkpoint that lists them is written. A process that is killed in between leaves
files that no checkpoint lists, and the next process deletes them. Every block is verified when it is read.
"""

import hashlib
import os
import re
from collections.abc import Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from farback.runs.files import DamagedError, replace, sync_directory
from farback.types import InputError

BLOCK = 2**20
"""The bytes of a block. It is part of the format of checkpoints."""
NAME = re.compile("[0-9a-f]{64}")
Bytes = UInt8[np.ndarray, " _"]


class Blocks:
    """The blocks of the checkpoints in a directory.

    `store` refers to a block that lies on disk only if this object has written or verified it, because a file of the right
    name may be damaged. Resuming therefore verifies a checkpoint and stores the next one with the same object.

    **Arguments:**

    - `checkpoints`: the directory of the checkpoints.
    """

    def __init__(self, checkpoints: Path):
        self.directory = checkpoints / "blocks"
        self._trusted: set[str] = set()

    def store(self, data: Bytes) -> list[str]:
        """Writes the blocks of an array that are not on disk yet, flushes them, and returns the names of all its blocks."""
        pieces = _pieces(data)
        with ThreadPoolExecutor() as pool:
            names = list(pool.map(_name, pieces))
            if not self.exist():
                self.directory.mkdir()
                sync_directory(self.directory.parent)
            self._trusted &= set(os.listdir(self.directory))
            if new := {name: piece for name, piece in zip(names, pieces, strict=True) if name not in self._trusted}:
                list(pool.map(lambda name: replace(self.directory / name, [new[name].data]), new))
                sync_directory(self.directory)
        self._trusted |= new.keys()
        return names

    def load(self, names: Sequence[Any], into: Bytes) -> None:
        """Reads the bytes of an array into another. Raises `DamagedError` if one has changed."""
        _check_names(names)
        pieces = _pieces(into)
        if len(names) != len(pieces):
            raise DamagedError(f"it lists {len(names)} blocks for an array of {into.size} bytes.")
        self._require()
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._fill, names, pieces))

    def verify(self, names: Sequence[Any]) -> None:
        """Reads the blocks that this object has not written or verified yet. Raises `DamagedError` if one has changed."""
        _check_names(names)
        if new := set(names) - self._trusted:
            self._require()
            with ThreadPoolExecutor() as pool:
                list(pool.map(self._verify, new))

    def distrust(self) -> None:
        """Forgets which blocks were verified, so that `verify` reads each of them again."""
        self._trusted.clear()

    def keep(self, names: Set[str]) -> None:
        """Deletes all other blocks, and what a killed process left half written."""
        for path in self.directory.iterdir():
            whole = path.name.removeprefix(".").removesuffix(".part")
            if NAME.fullmatch(whole) and path.name not in names:
                path.unlink(missing_ok=True)
        self._trusted &= names

    def exist(self) -> bool:
        """Whether there is a folder of blocks. A link to a folder elsewhere is refused."""
        if self.directory.is_symlink():
            raise InputError(f"'{self.directory}' is a link: put the folder itself there, or link the whole run directory.")
        return self.directory.is_dir()

    def _require(self) -> None:
        if not self.exist():
            raise InputError(
                f"'{self.directory}' is missing, and a checkpoint beside it has arrays there: restore it, by copying the "
                f"whole run directory."
            )

    def _fill(self, name: str, piece: Bytes) -> None:
        with self._open(name) as file:
            whole = file.readinto(piece.data) == piece.size and not file.read(1)
        self._judge(name, whole and _name(piece) == name)

    def _verify(self, name: str) -> None:
        with self._open(name) as file:
            self._judge(name, hashlib.file_digest(file, "sha256").hexdigest() == name)

    def _judge(self, name: str, whole: bool) -> None:
        if not whole:
            self._trusted.discard(name)
            raise DamagedError(f"its block '{self.directory.name}/{name}' was cut short or changed after writing.")
        self._trusted.add(name)

    def _open(self, name: str) -> BufferedReader:
        path = self.directory / name
        try:
            if path.is_symlink() or not path.is_file():
                raise FileNotFoundError
            return path.open("rb")
        except FileNotFoundError:
            raise DamagedError(f"its block '{self.directory.name}/{name}' is missing.") from None


def _check_names(names: Sequence[Any]) -> None:
    """Refuses what is not the name of a block. A name cannot lead out of the folder."""
    for name in names:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise DamagedError(f"it lists a block {name!r}, which is not a SHA-256.")


def _pieces(data: Bytes) -> list[Bytes]:
    return [data[start : start + BLOCK] for start in range(0, data.size, BLOCK)]


def _name(piece: Bytes) -> str:
    return hashlib.sha256(piece.data).hexdigest()
