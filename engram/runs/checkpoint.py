"""Checkpoints: a whole learning state in one file, written in one go and never believed unchecked.

    "engram checkpoint 1\\n"    what this is, and the version of its format
    8 bytes                    the length of the header, little-endian
    header                     JSON: the name, dtype and shape of each array, and facts about the run
    payload                    the arrays one after the other, little-endian, in C order
    32 bytes                   SHA-256 of all that is before, in every version

A file is written beside its place, flushed to the disk, and then renamed, so that a name stands for a whole checkpoint or
for nothing. Nothing in it is executed or unpickled.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from engram.types import InputError

FORMAT = 1
DIGEST = hashlib.sha256().digest_size
SUFFIX = ".engram"
KEY = str(jax.eval_shape(lambda: jax.random.key(0)).dtype)


Facts = dict[str, Any]
"""What a checkpoint says about itself, as JSON."""


class DamagedError(Exception):
    """A checkpoint that is not what was written."""


def write(path: Path, tree: PyTree, facts: Facts) -> None:
    """Writes the arrays of a tree, and facts about them, atomically."""
    leaves = named_leaves(tree)
    about = [{"name": name, "dtype": str(leaf.dtype), "shape": list(leaf.shape)} for name, leaf in leaves]
    header = json.dumps({"leaves": about, "facts": facts}).encode()
    pieces = [f"engram checkpoint {FORMAT}\n".encode(), len(header).to_bytes(8, "little"), header]
    pieces += [np.ascontiguousarray(_plain(leaf)).view(np.uint8).data for _, leaf in leaves]
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    write_atomically(path, [*pieces, digest.digest()])


def read(path: Path, like: PyTree) -> PyTree:
    """The arrays of a checkpoint, in a tree as `like`, which has the arrays' shapes.

    Raises `DamagedError` if a byte of the file is not as it was written, and `InputError` if it holds another state.
    """
    about, _, payload = _open(path)
    wanted = dict(named_leaves(like))
    found = {leaf["name"]: leaf for leaf in about}
    for name in [*wanted, *found]:
        stored = _describe(found[name]["dtype"], found[name]["shape"]) if name in found else "nothing"
        expected = _describe(str(wanted[name].dtype), wanted[name].shape) if name in wanted else "nothing"
        if stored != expected:
            raise InputError(
                f"'{path}' holds {stored} at {name}, where {expected} is wanted: it is of another model or algorithm. Put "
                f"config.json back as it was, or give another --dir."
            )
    arrays, start = {}, 0
    for leaf in about:
        data, start = _cut(payload, start, leaf)
        arrays[leaf["name"]] = jax.random.wrap_key_data(data) if leaf["dtype"] == KEY else data
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in wanted])


def facts(path: Path) -> Facts:
    """What a checkpoint says about itself; raises as `read` does."""
    return _open(path)[1]


def check_record(path: Path, facts: Facts, record: Facts) -> None:
    """Refuses a checkpoint that something else was trained for than what is on record."""
    for name, wanted in record.items():
        if facts["record"].get(name) != wanted:
            raise InputError(
                f"'{path}' was made with {name} = {facts['record'].get(name)}, and not {wanted}: put config.json, and the "
                f"task's data if it has any, back as they were, or give another --dir."
            )


def fingerprint(tree: PyTree) -> str | None:
    """SHA-256 of the arrays of a tree, `None` if it has none."""
    leaves = [_plain(leaf) for _, leaf in named_leaves(tree)]
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(f"{leaf.dtype}{leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).view(np.uint8).data)
    return digest.hexdigest() if leaves else None


def named_leaves(tree: PyTree) -> list[tuple[str, Any]]:
    """The arrays of a tree, by name."""
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree.leaves_with_path(tree)]


def write_atomically(path: Path, pieces: Iterable[Any]) -> None:
    """Writes a file so that its name stands for all of it or for what it was before."""
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
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Waits until the names in a directory are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Checkpoints(NamedTuple):
    """The checkpoints of a run, named by the number of updates done.

    **Arguments:**

    - `directory`: where they lie.
    - `keep`: how many of the newest are kept; the best is kept besides.
    """

    directory: Path
    keep: int = 3

    def path(self, update: int) -> Path:
        """Where the checkpoint of an update lies."""
        return self.directory / f"{update:012d}{SUFFIX}"

    def paths(self) -> list[Path]:
        """All checkpoints, the newest first, whole or not."""
        named = [path for path in self.directory.glob(f"*{SUFFIX}") if path.stem.isdecimal()]
        return sorted(named, key=lambda path: int(path.stem), reverse=True)

    def whole(self, damaged: Callable[[Path, DamagedError], None]) -> dict[Path, Facts]:
        """Those that are whole, the newest first; `damaged` is told of the others."""
        found = {}
        for path in self.paths():
            try:
                found[path] = facts(path)
            except FileNotFoundError:  # whoever trains here has dropped it
                continue
            except DamagedError as error:
                damaged(path, error)
        return found

    def prune(self, scores: Mapping[Path, float]) -> None:
        """Drops all but the newest `keep` and the one of the lowest score."""
        paths = self.paths()
        best = min((path for path in paths if path in scores), key=lambda path: scores[path], default=None)
        for path in paths[self.keep :]:
            if path != best:
                path.unlink(missing_ok=True)


def _open(path: Path) -> tuple[list[dict[str, Any]], Facts, memoryview]:
    data = memoryview(path.read_bytes())
    body = data[:-DIGEST]
    if len(data) < DIGEST or hashlib.sha256(body).digest() != bytes(data[-DIGEST:]):
        raise DamagedError(f"'{path}' is damaged: it was cut short or changed after it was written.")
    line, _, _ = bytes(body[:64]).partition(b"\n")
    match = re.fullmatch(rb"engram checkpoint (\d+)", line)
    if not match:
        raise DamagedError(f"'{path}' is no checkpoint of Engram.")
    if int(match[1]) > FORMAT:
        raise InputError(
            f"'{path}' was written by a newer Engram, in format {int(match[1])}; this one reads up to {FORMAT}. Upgrade "
            f"with pip install --upgrade engram, or move that file away to go on from an older checkpoint."
        )
    start = len(line) + 1
    length = int.from_bytes(body[start : start + 8], "little")
    header = json.loads(bytes(body[start + 8 : start + 8 + length]))
    return header["leaves"], header["facts"], body[start + 8 + length :]


def _cut(payload, start, leaf):
    key = jax.random.key_data(jax.random.key(0))
    dtype, inner = (key.dtype, key.shape) if leaf["dtype"] == KEY else (jnp.dtype(leaf["dtype"]), ())
    shape = (*leaf["shape"], *inner)
    end = start + dtype.itemsize * math.prod(shape)
    return jnp.asarray(np.frombuffer(payload[start:end], dtype).reshape(shape)), end


def _plain(leaf) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if str(leaf.dtype) == KEY else leaf)


def _describe(dtype, shape) -> str:
    return f"{dtype}[{', '.join(map(str, shape))}]"
