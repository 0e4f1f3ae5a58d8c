"""A checkpoint comes back bit for bit, or not at all."""

import errno
import hashlib
import os
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from farback import InputError
from farback.runs.checkpoint import DIGEST, FORMAT, Checkpoints, DamagedError, facts, read, write
from farback.runs.files import write_atomically


def state():
    """Arrays of every kind that learners carry."""
    key = jax.random.key(3)
    return {
        "weights": (jax.random.normal(key, (3, 5)), jax.random.normal(key, (2,), jnp.bfloat16)),
        "complex": jax.random.normal(key, (4,), complex),
        "flags": jnp.array([True, False]),
        "count": jnp.array(7),
        "empty": jnp.zeros((0, 3)),
        "keys": jax.random.split(key, 2),
        "nothing": None,
    }


def like(tree):
    return jax.eval_shape(lambda: tree)


def same(one, other):
    def plain(leaf):
        return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)

    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a.dtype == b.dtype and plain(a).tobytes() == plain(b).tobytes() for a, b in pairs)


def test_what_is_written_is_read(tmp_path):
    path, tree = tmp_path / "1.farback", state()
    write(path, tree, {"update": 12, "score": None})
    found = read(path, like(tree))
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    assert same(found, tree)
    assert facts(path) == {"update": 12, "score": None}
    assert [path.name for path in tmp_path.iterdir()] == ["1.farback"]


def test_a_flipped_bit_or_a_cut_is_found(tmp_path):
    path, tree = tmp_path / "1.farback", state()
    write(path, tree, {})
    whole = path.read_bytes()
    draw = random.Random(0)
    changed = []
    for place in [0, len(whole) - 1, *draw.sample(range(len(whole)), 50)]:
        changed.append(bytearray(whole))
        changed[-1][place] ^= 1 << draw.randrange(8)
    cut = [whole[:length] for length in (0, 1, DIGEST, len(whole) // 2, len(whole) - 1)]
    for data in [*changed, *cut, whole + b"\0"]:
        path.write_bytes(data)
        with pytest.raises(DamagedError, match="cut short or changed"):
            read(path, like(tree))


def test_a_newer_format_is_refused_with_the_remedy(tmp_path):
    path, tree = tmp_path / "1.farback", state()
    write(path, tree, {})
    newer = path.read_bytes()[:-DIGEST].replace(b"farback checkpoint 1\n", f"farback checkpoint {FORMAT + 1}\n".encode(), 1)
    path.write_bytes(newer + hashlib.sha256(newer).digest())
    with pytest.raises(InputError, match=r"newer Farback, in format 3.*pip install --upgrade farback"):
        read(path, like(tree))


def test_a_whole_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "1.farback"
    path.write_bytes(b"something" + hashlib.sha256(b"something").digest())
    with pytest.raises(DamagedError, match="not a checkpoint of Farback"):
        read(path, like(state()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": jnp.zeros(3, int)}, r"holds int64\[\] at \['count'\], but this run has int64\[3\]"),
        ({"count": jnp.zeros(())}, r"holds int64\[\] at \['count'\], but this run has float64\[\]"),
        ({"more": jnp.zeros(2)}, r"holds nothing at \['more'\]"),
        ({"flags": None}, r"holds bool\[2\] at \['flags'\], but this run has nothing"),
    ],
)
def test_a_state_of_another_shape_is_refused_by_name(change, message, tmp_path):
    path = tmp_path / "1.farback"
    write(path, state(), {})
    with pytest.raises(InputError, match=message):
        read(path, like(state() | change))


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "1.farback"
    write(path, state(), {"update": 1})
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, state(), {"update": 2})
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["1.farback"]


def test_control_a_plain_write_that_fails_does_not(tmp_path, monkeypatch):
    """Writing in place would have left half of a file."""
    path = tmp_path / "1.farback"
    write_atomically(path, [b"all of it"])

    def pieces():
        yield b"half"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, pieces())
    assert path.read_bytes() == b"all of it"
    with pytest.raises(OSError, match="No space left"), path.open("wb") as file:
        file.writelines(pieces())
    assert path.read_bytes() == b"half"


def test_the_newest_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    scores = {}
    for update, score in [(0, None), (10, 0.5), (20, 0.1), (30, 0.4), (40, 0.3), (100, 0.2)]:
        path = checkpoints.path(update)
        write(path, {}, {"score": score})
        scores |= {path: score} if score is not None else {}
        checkpoints.prune(scores)
    assert [int(path.stem) for path in checkpoints.paths()] == [100, 40, 20]
