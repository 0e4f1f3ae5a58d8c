"""Checkpoints: the whole state of a run in one file, written atomically and verified when read.

    "farback checkpoint 1\\n"    the kind of file, and the version of its format
    8 bytes                    the length of the header, little-endian
    header                     JSON: the name, dtype and shape of each array, and facts about the run
    payload                    the arrays in the header's order, little-endian, in C order
    32 bytes                   SHA-256 of everything before, in every version

In format 2, the header lists the blocks of each array of more than `BLOCK` bytes, and the payload lacks these arrays.
Blocks are files that checkpoints share: see `farback.runs.blocks`. A checkpoint without such arrays has format 1.

A checkpoint is written to a temporary file beside its path, flushed to disk, and renamed. A path therefore names a whole
checkpoint or none. Reading one executes and unpickles nothing.
"""

import hashlib
import json
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from farback.ops.host_arrays import HostShape
from farback.runs.blocks import BLOCK, Blocks
from farback.runs.files import DamagedError, write_atomically
from farback.types import InputError

FORMAT = 2
DIGEST = hashlib.sha256().digest_size
SUFFIX = ".farback"
KEY = str(jax.eval_shape(lambda: jax.random.key(0)).dtype)
Facts = dict[str, Any]
"""The facts that a checkpoint states about itself, as JSON."""


def write(path: Path, tree: PyTree, facts: Facts, blocks: Blocks | None = None) -> None:
    """Writes the arrays of a tree and facts about them, atomically.

    **Arguments:**

    - `blocks`: the blocks of the checkpoints beside this one, of which it writes those that are new. By default it trusts
      no block on disk, and writes all of its own.
    """
    blocks = blocks or Blocks(path.parent)
    about, payload = [], []
    for name, leaf in named_leaves(tree):
        data = np.ascontiguousarray(_plain(leaf)).reshape(-1).view(np.uint8)
        about.append({"name": name, "dtype": str(leaf.dtype), "shape": list(leaf.shape)})
        if data.size > BLOCK:
            about[-1]["blocks"] = blocks.store(data)
        else:
            payload.append(data.data)
    version = FORMAT if any("blocks" in leaf for leaf in about) else 1
    header = json.dumps({"leaves": about, "facts": facts}).encode()
    pieces = [f"farback checkpoint {version}\n".encode(), len(header).to_bytes(8, "little"), header, *payload]
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    write_atomically(path, [*pieces, digest.digest()])


def read(path: Path, like: PyTree, blocks: Blocks | None = None) -> PyTree:
    """Reads the arrays of a checkpoint into a tree of the structure, shapes and dtypes of `like`.

    Raises `DamagedError` if a byte of the file or of its blocks has changed, and `InputError` if it holds another state.

    **Arguments:**

    - `blocks`: the blocks of the checkpoints beside this one; it notes which ones are whole.
    """
    about, _, payload = _open(path)
    wanted = dict(named_leaves(like))
    found = {leaf["name"]: leaf for leaf in about}
    for name in [*wanted, *found]:
        stored = _describe(found[name]["dtype"], found[name]["shape"]) if name in found else "nothing"
        expected = _describe(str(wanted[name].dtype), wanted[name].shape) if name in wanted else "nothing"
        if stored != expected:
            raise InputError(
                f"'{path}' holds {stored} at {name}, but this run has {expected}: it belongs to another model or "
                f"algorithm. Restore config.json, or give another directory."
            )
    blocks = blocks or Blocks(path.parent)
    arrays, start = {}, 0
    for leaf in about:
        dtype, shape = _layout(leaf)
        on_host = isinstance(place := wanted[leaf["name"]], HostShape)
        array = place.empty() if on_host else np.empty(shape, dtype)
        data = array.reshape(-1).view(np.uint8)
        if "blocks" in leaf:
            with _damage_of(path):
                blocks.load(leaf["blocks"], data)
        else:
            data[:] = payload[start : start + data.size]
            start += data.size
        if leaf["dtype"] == KEY:
            arrays[leaf["name"]] = jax.random.wrap_key_data(jnp.asarray(array))
        else:
            arrays[leaf["name"]] = array if on_host else jnp.asarray(array)
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in wanted])


def facts(path: Path, blocks: Blocks | None = None) -> Facts:
    """Reads the facts of a checkpoint; raises as `read` does.

    **Arguments:**

    - `blocks`: the blocks of the checkpoints beside this one, of which it verifies those that it has not verified yet.
    """
    about, found, _ = _open(path)
    with _damage_of(path):
        (blocks or Blocks(path.parent)).verify(_listed(about))
    return found


def check_record(path: Path, facts: Facts, record: Facts, *, whole: bool = True) -> None:
    """Refuses a checkpoint of a run with another record.

    **Arguments:**

    - `record`: the values that determine what is learnt, by name. A name that is missing on one side has its default.
    - `whole`: whether `record` is the run's whole record, rather than a part of it.
    """
    stored = facts["record"]
    for name in [*record, *(stored if whole else ())]:
        if stored.get(name) != record.get(name):
            raise InputError(
                f"'{path}' was made with {name} = {_shown(stored, name)}, not {_shown(record, name)}: restore config.json, "
                f"the task's data and the pretrained runs, or give another directory."
            )


def fingerprint(tree: PyTree) -> str | None:
    """Returns the SHA-256 of the arrays of a tree, or `None` if it has none."""
    leaves = [_plain(leaf) for _, leaf in named_leaves(tree)]
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(f"{leaf.dtype}{leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).view(np.uint8).data)
    return digest.hexdigest() if leaves else None


def named_leaves(tree: PyTree) -> list[tuple[str, Any]]:
    """Returns the arrays of a tree with their names."""
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree.leaves_with_path(tree)]


class Checkpoints:
    """The checkpoints of a run, named by the number of updates done.

    **Arguments:**

    - `directory`: the directory of the files.
    - `keep`: the number of newest checkpoints to keep, beside the best one.
    """

    def __init__(self, directory: Path, keep: int = 3):
        self.directory, self.keep = directory, keep
        self.blocks = Blocks(directory)

    def path(self, update: int) -> Path:
        """Returns the path of the checkpoint after an update."""
        return self.directory / f"{update:012d}{SUFFIX}"

    def paths(self) -> list[Path]:
        """Returns all checkpoints, newest first, whole or damaged."""
        named = [path for path in self.directory.glob(f"*{SUFFIX}") if path.stem.isdecimal()]
        return sorted(named, key=lambda path: int(path.stem), reverse=True)

    def whole(self, damaged: Callable[[Path, DamagedError], None]) -> dict[Path, Facts]:
        """Returns the whole checkpoints, newest first, with their facts; calls `damaged` for each of the others."""
        self.blocks.distrust()
        found = {}
        for path in self.paths():
            try:
                found[path] = facts(path, self.blocks)
            except FileNotFoundError:  # deleted by a process that trains here
                continue
            except DamagedError as error:
                damaged(path, error)
        return found

    def write(self, path: Path, tree: PyTree, facts: Facts) -> None:
        """Writes a checkpoint, as `farback.runs.checkpoint.write` does. If that fails, its blocks are deleted."""
        try:
            write(path, tree, facts, self.blocks)
        except OSError:
            self.sweep()
            raise

    def prune(self, scores: Mapping[Path, float]) -> None:
        """Deletes all checkpoints but the newest `keep` and the one with the lowest score, and sweeps."""
        paths = self.paths()
        best = min((path for path in paths if path in scores), key=lambda path: scores[path], default=None)
        for path in paths[self.keep :]:
            if path != best:
                path.unlink(missing_ok=True)
        self.sweep()

    def sweep(self) -> None:
        """Deletes the blocks that no checkpoint lists."""
        if self.blocks.exist():
            self.blocks.keep({name for path in self.paths() for name in _listed(_leaves(path))})


def _open(path: Path) -> tuple[list[dict[str, Any]], Facts, memoryview]:
    data = memoryview(path.read_bytes())
    body = data[:-DIGEST]
    if len(data) < DIGEST or hashlib.sha256(body).digest() != bytes(data[-DIGEST:]):
        raise DamagedError(f"'{path}' is damaged: it was cut short or changed after writing.")
    line, _, _ = bytes(body[:64]).partition(b"\n")
    match = re.fullmatch(rb"farback checkpoint (\d+)", line)
    if not match:
        raise DamagedError(f"'{path}' is not a checkpoint of Farback.")
    if int(match[1]) > FORMAT:
        raise InputError(
            f"'{path}' was written by a newer Farback, in format {int(match[1])}; this one reads formats up to {FORMAT}. "
            f"Upgrade with pip install --upgrade farback, or move that file away to resume from an older checkpoint."
        )
    start = len(line) + 1
    length = int.from_bytes(body[start : start + 8], "little")
    header = json.loads(bytes(body[start + 8 : start + 8 + length]))
    return header["leaves"], header["facts"], body[start + 8 + length :]


def _leaves(path: Path) -> list[dict[str, Any]]:
    """Reads what a checkpoint states about its arrays, unverified: nothing, if it is damaged, and so of no use."""
    with path.open("rb") as file:
        file.readline(64)
        length = int.from_bytes(file.read(8), "little")
        try:
            return json.loads(file.read(min(length, path.stat().st_size)))["leaves"]
        except (ValueError, LookupError):
            return []


def _listed(about: list[dict[str, Any]]) -> list[Any]:
    return [name for leaf in about for name in leaf.get("blocks", ())]


@contextmanager
def _damage_of(path: Path) -> Generator[None, None, None]:
    """Blames a checkpoint for a damaged block, unless the process that trains here has deleted both."""
    try:
        yield
    except DamagedError as error:
        if not path.exists():
            raise FileNotFoundError(path) from None
        raise DamagedError(f"'{path}' is damaged: {error}") from None


def _layout(leaf: dict[str, Any]) -> tuple[np.dtype, tuple[int, ...]]:
    key = jax.random.key_data(jax.random.key(0))
    dtype, inner = (key.dtype, key.shape) if leaf["dtype"] == KEY else (jnp.dtype(leaf["dtype"]), ())
    return dtype, (*leaf["shape"], *inner)


def _plain(leaf) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if str(leaf.dtype) == KEY else leaf)


def _shown(record: Facts, name: str) -> str:
    return str(record[name]) if name in record else "its default"


def _describe(dtype, shape) -> str:
    return f"{dtype}[{', '.join(map(str, shape))}]"
