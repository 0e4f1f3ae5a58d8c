"""A checkpoint with big arrays writes what changed since the last one, and comes back bit for bit or not at all."""

import errno
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from replay_ring import BLOCKS, Ring, ring_program
from small_runs import identical, leaves, newest, rows

from farback import InputError
from farback.runs.blocks import BLOCK, Blocks
from farback.runs.checkpoint import DIGEST, Checkpoints, DamagedError, facts, read, write
from farback.runs.loop import train
from farback.runs.options import StoppedError
from farback.runs.run import load

program_of = functools.cache(ring_program)


def same(one, other):
    return jax.tree.structure(one) == jax.tree.structure(other) and identical(one, other)


def like(tree):
    return jax.eval_shape(lambda: tree)


def noise(megabytes, seed=0):
    """An array without two equal blocks."""
    return np.random.default_rng(seed).integers(0, 256, int(megabytes * 2**20), np.uint8)


def files(directory):
    """What identifies the content of each block on disk: a block that is written again has another inode or time."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (directory / "blocks").glob("*")}


def written(directory, before):
    """The bytes of the blocks that were written since `before`."""
    found = files(directory)
    return sum((directory / "blocks" / name).stat().st_size for name in found if found[name] != before.get(name))


def listed(path):
    """The blocks that a checkpoint lists, read as docs/runs.md describes the format."""
    rest = path.read_bytes().split(b"\n", 1)[1]
    header = json.loads(rest[8 : 8 + int.from_bytes(rest[:8], "little")])
    return {leaf["name"]: leaf["blocks"] for leaf in header["leaves"] if "blocks" in leaf}


def block_of(path, index, name="['a']"):
    return path.parent / "blocks" / listed(path)[name][index]


def forge(path, change):
    """Rewrites the header of a checkpoint, with a valid checksum."""
    line, rest = path.read_bytes()[:-DIGEST].split(b"\n", 1)
    end = 8 + int.from_bytes(rest[:8], "little")
    header = json.loads(rest[8:end])
    change(header["leaves"])
    text = json.dumps(header).encode()
    body = line + b"\n" + len(text).to_bytes(8, "little") + text + rest[end:]
    path.write_bytes(body + hashlib.sha256(body).digest())


class TestArrays:
    @pytest.mark.parametrize(
        "dtype", [jnp.float32, jnp.float64, jnp.uint8, jnp.bool, jnp.int32, jnp.bfloat16, jnp.complex64], ids=str
    )
    def test_big_arrays_of_every_dtype_come_back_bit_for_bit(self, dtype, tmp_path):
        """Three and a bit blocks, NaN and −0 included, beside small arrays."""
        plain = np.dtype(dtype)
        raw = noise(3.3)[: 3 * BLOCK + 7 * 3 * plain.itemsize]
        raw = raw % 2 if plain.kind == "b" else raw
        tree = {"small": jnp.arange(5), "a": jnp.asarray(raw.view(plain).reshape(-1, 3)), "last": jnp.ones((2, 2))}
        path = tmp_path / "1.farback"
        write(path, tree, {"update": 3})
        assert same(read(path, like(tree)), tree)
        assert facts(path) == {"update": 3}
        assert path.read_bytes().startswith(b"farback checkpoint 2\n")
        assert path.stat().st_size < 2000
        assert [(tmp_path / "blocks" / name).stat().st_size for name in listed(path)["['a']"]][:3] == 3 * [BLOCK]

    def test_big_arrays_of_keys_come_back_bit_for_bit(self, tmp_path):
        tree = {"a": jax.random.split(jax.random.key(0), (3, 50_000)), "one": jax.random.key(1)}
        write(tmp_path / "1.farback", tree, {})
        assert len(listed(tmp_path / "1.farback")["['a']"]) == 2
        assert same(read(tmp_path / "1.farback", like(tree)), tree)

    def test_a_checkpoint_without_big_arrays_is_as_it_was(self, tmp_path):
        """An array of just `BLOCK` bytes is in the payload, in format 1, and there is no folder."""
        data, path = noise(1), tmp_path / "1.farback"
        write(path, {"a": jnp.asarray(data)}, {"update": 1})
        header = b'{"leaves": [{"name": "[\'a\']", "dtype": "uint8", "shape": [1048576]}], "facts": {"update": 1}}'
        body = b"farback checkpoint 1\n" + len(header).to_bytes(8, "little") + header + data.tobytes()
        assert path.read_bytes() == body + hashlib.sha256(body).digest()
        assert list(tmp_path.iterdir()) == [path]

    def test_a_big_array_in_the_payload_of_format_1_is_read(self, tmp_path):
        data, path = noise(2.5), tmp_path / "1.farback"
        header = json.dumps({"leaves": [{"name": "['a']", "dtype": "uint8", "shape": [data.size]}], "facts": {}}).encode()
        body = b"farback checkpoint 1\n" + len(header).to_bytes(8, "little") + header + data.tobytes()
        path.write_bytes(body + hashlib.sha256(body).digest())
        assert same(read(path, {"a": jax.ShapeDtypeStruct(data.shape, data.dtype)}), {"a": jnp.asarray(data)})

    def test_the_state_of_another_run_is_refused_by_name(self, tmp_path):
        write(tmp_path / "1.farback", {"a": jnp.asarray(noise(2))}, {})
        with pytest.raises(InputError, match=r"holds uint8\[2097152\] at \['a'\], but this run has uint8\[3\]"):
            read(tmp_path / "1.farback", {"a": jax.ShapeDtypeStruct((3,), np.uint8)})


class TestBytes:
    @pytest.mark.parametrize("place", [0, 5 * BLOCK - 1, 5 * BLOCK, 8 * BLOCK - 1])
    def test_a_changed_entry_costs_one_block(self, place, tmp_path):
        data, blocks = noise(8), Blocks(tmp_path)
        write(tmp_path / "1.farback", {"a": jnp.asarray(data)}, {}, blocks)
        before = files(tmp_path)
        assert written(tmp_path, {}) == 8 * BLOCK
        changed = data.copy()
        changed[place] ^= 1
        write(tmp_path / "2.farback", {"a": jnp.asarray(changed)}, {}, blocks)
        assert written(tmp_path, before) == BLOCK
        for path, tree in (("1.farback", data), ("2.farback", changed)):
            assert same(read(tmp_path / path, like({"a": tree})), {"a": jnp.asarray(tree)})

    def test_an_unchanged_array_costs_nothing_and_its_end_what_it_has(self, tmp_path):
        data, blocks = noise(4.25), Blocks(tmp_path)
        write(tmp_path / "1.farback", {"a": jnp.asarray(data)}, {}, blocks)
        before = files(tmp_path)
        write(tmp_path / "2.farback", {"a": jnp.asarray(data)}, {}, blocks)
        assert written(tmp_path, before) == 0
        data[-1] ^= 1
        write(tmp_path / "3.farback", {"a": jnp.asarray(data)}, {}, blocks)
        assert written(tmp_path, before) == BLOCK // 4

    def test_control_blocks_that_were_not_verified_are_written_again(self, tmp_path):
        tree = {"a": jnp.asarray(noise(8))}
        write(tmp_path / "1.farback", tree, {}, Blocks(tmp_path))
        before = files(tmp_path)
        write(tmp_path / "2.farback", tree, {}, Blocks(tmp_path))
        assert written(tmp_path, before) == 8 * BLOCK

    def test_verified_blocks_are_referred_to(self, tmp_path):
        tree = {"a": jnp.asarray(noise(8))}
        write(tmp_path / "1.farback", tree, {}, Blocks(tmp_path))
        before = files(tmp_path)
        for index, use in enumerate((facts, lambda path, blocks: read(path, like(tree), blocks))):
            blocks = Blocks(tmp_path)
            use(tmp_path / "1.farback", blocks)
            write(tmp_path / f"{index + 2}.farback", tree, {}, blocks)
            assert written(tmp_path, before) == 0

    def test_equal_blocks_are_one_file(self, tmp_path):
        """A replay buffer that is empty yet."""
        tree = {"a": jnp.zeros((16, BLOCK // 4), jnp.float32), "b": jnp.zeros(5 * BLOCK, jnp.uint8)}
        write(tmp_path / "1.farback", tree, {})
        assert written(tmp_path, {}) == BLOCK
        assert same(read(tmp_path / "1.farback", like(tree)), tree)


DAMAGES = {
    "a flipped bit": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 4]) + path.read_bytes()[1:]),
    "a cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "a byte more": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "no bytes": lambda path: path.write_bytes(b""),
    "no file": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


class TestDamage:
    @pytest.mark.parametrize("damage", DAMAGES)
    @pytest.mark.parametrize("index", [0, 2])
    def test_a_damaged_block_is_found(self, damage, index, tmp_path):
        tree, path = {"a": jnp.asarray(noise(2.5))}, tmp_path / "1.farback"
        write(path, tree, {})
        facts(path)
        block = block_of(path, index)
        DAMAGES[damage](block)
        for use in (facts, lambda path: read(path, like(tree))):
            with pytest.raises(DamagedError, match=rf"'{path}' is damaged: its block 'blocks/{block.name}'"):
                use(path)

    def test_a_restored_checkpoint_is_verified_again(self, tmp_path):
        """As after a NaN: the process has written the blocks itself, and they were damaged since."""
        checkpoints, tree, damaged = Checkpoints(tmp_path), {"a": jnp.asarray(noise(2))}, []
        for update in (1, 2):
            checkpoints.write(checkpoints.path(update), tree | {"b": jnp.asarray(noise(2, update))}, {})
        newest, older = checkpoints.paths()
        DAMAGES["a flipped bit"](block_of(newest, 0, "['b']"))
        facts(newest, checkpoints.blocks)  # control: blocks that are trusted are not read
        assert list(checkpoints.whole(lambda path, error: damaged.append(path))) == [older]
        assert damaged == [newest]

    def test_a_damaged_block_is_replaced_when_it_is_stored_again(self, tmp_path):
        checkpoints, tree = Checkpoints(tmp_path), {"a": jnp.asarray(noise(3))}
        checkpoints.write(checkpoints.path(1), tree, {})
        DAMAGES["a flipped bit"](block_of(checkpoints.path(1), 1))
        assert checkpoints.whole(lambda path, error: None) == {}
        checkpoints.write(checkpoints.path(2), tree, {})
        assert same(read(checkpoints.path(2), like(tree)), tree)

    def test_a_deleted_block_is_written_again(self, tmp_path):
        checkpoints, tree = Checkpoints(tmp_path), {"a": jnp.asarray(noise(3))}
        for update, delete in enumerate((lambda path: path.unlink(), lambda path: shutil.rmtree(path.parent))):
            checkpoints.write(checkpoints.path(2 * update), tree, {})
            delete(block_of(checkpoints.path(2 * update), 1))
            checkpoints.write(checkpoints.path(2 * update + 1), tree, {})
            assert same(read(checkpoints.path(2 * update + 1), like(tree)), tree)

    def test_a_checkpoint_that_another_process_deletes_is_no_damage(self, tmp_path, monkeypatch):
        """A reader has read the checkpoint when the training process deletes it and its blocks."""
        checkpoints, before = Checkpoints(tmp_path, keep=1), Blocks.verify
        for update in (1, 2):
            checkpoints.write(checkpoints.path(update), {"a": jnp.asarray(noise(2, update))}, {})

        def late(self, names):
            checkpoints.prune({})
            before(self, names)

        monkeypatch.setattr(Blocks, "verify", late)
        with pytest.raises(FileNotFoundError):
            facts(checkpoints.path(1))
        assert list(Checkpoints(tmp_path).whole(pytest.fail)) == [checkpoints.path(2)]

    def test_a_missing_folder_is_refused_and_nothing_is_changed(self, tmp_path):
        program, message = program_of(Ring()), "blocks' is missing, and a checkpoint beside it has arrays there: restore"
        train(program, tmp_path, 8)
        shutil.rmtree(tmp_path / "checkpoints" / "blocks")
        before = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
        for use in (lambda: train(program_of(Ring()), tmp_path, 9), lambda: load(tmp_path, program=program_of(Ring()))):
            with pytest.raises(InputError, match=message):
                use()
        assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == before


class TestDeletion:
    def test_the_folder_holds_the_blocks_of_the_kept_checkpoints_and_no_others(self, tmp_path):
        """Every kept checkpoint is whole, the best one too, which is the oldest."""
        checkpoints, draw, data = Checkpoints(tmp_path, keep=2), np.random.default_rng(1), noise(8)
        states, scores = {}, {}
        for update in range(20):
            data = data.copy()
            data[draw.integers(0, data.size, 3)] ^= 1
            path = checkpoints.path(update)
            states[path], scores[path] = {"a": jnp.asarray(data)}, abs(update - 4)
            checkpoints.write(path, states[path], {"score": scores[path]})
            checkpoints.prune(scores)
        assert [int(path.stem) for path in checkpoints.paths()] == [19, 18, 4]
        for path in checkpoints.paths():
            assert same(read(path, like(states[path])), states[path])
        union = set().union(*(listed(path)["['a']"] for path in checkpoints.paths()))
        assert files(tmp_path).keys() == union
        assert 8 < len(union) < 24

    def test_control_without_pruning_every_block_stays(self, tmp_path):
        checkpoints = Checkpoints(tmp_path, keep=2)
        for update in range(5):
            checkpoints.write(checkpoints.path(update), {"a": jnp.asarray(noise(2, update))}, {})
        assert len(files(tmp_path)) == 10

    def test_files_of_others_stay(self, tmp_path):
        checkpoints = Checkpoints(tmp_path)
        checkpoints.write(checkpoints.path(1), {"a": jnp.asarray(noise(2))}, {})
        (tmp_path / "blocks" / "letter.txt").write_text("Dear Sir")
        (tmp_path / "blocks" / ("0" * 64)).write_text("no checkpoint lists it")
        checkpoints.sweep()
        assert files(tmp_path).keys() == {*listed(checkpoints.path(1))["['a']"], "letter.txt"}

    def test_blocks_of_a_damaged_header_may_go_and_those_of_others_stay(self, tmp_path):
        checkpoints, trees = Checkpoints(tmp_path), [{"a": jnp.asarray(noise(2, update))} for update in (0, 1)]
        for update, tree in enumerate(trees):
            checkpoints.write(checkpoints.path(update), tree, {})
        for spoilt in (b"", b"farback checkpoint 2\n" + b"\xff" * 90, checkpoints.path(1).read_bytes()[:200]):
            checkpoints.path(1).write_bytes(spoilt)
            checkpoints.sweep()
            assert same(read(checkpoints.path(0), like(trees[0])), trees[0])


class TestHostile:
    @pytest.fixture
    def path(self, tmp_path):
        (tmp_path / "run").mkdir()
        write(tmp_path / "run" / "1.farback", {"a": jnp.asarray(noise(2))}, {})
        (tmp_path / "secret").write_bytes(noise(1).tobytes())
        return tmp_path / "run" / "1.farback"

    @pytest.mark.parametrize(
        "name", ["../../secret", "/etc/passwd", "", ".", "A" * 64, "a" * 63, "a" * 64 + "\n", 7, None, ["a" * 64]]
    )
    def test_names_that_are_not_of_blocks_are_refused(self, name, path, monkeypatch):
        forge(path, lambda about: about[0]["blocks"].__setitem__(1, name))
        monkeypatch.setattr(Blocks, "_open", pytest.fail)
        for use in (facts, lambda path: read(path, {"a": jax.ShapeDtypeStruct((2 * BLOCK,), np.uint8)})):
            with pytest.raises(DamagedError, match=r"is damaged: it lists a block .*, which is not a SHA-256"):
                use(path)

    @pytest.mark.parametrize("count", [0, 1, 3])
    def test_another_number_of_blocks_is_refused(self, count, path):
        forge(path, lambda about: about[0].update(blocks=(about[0]["blocks"] * 2)[:count]))
        with pytest.raises(DamagedError, match=f"it lists {count} blocks for an array of 2097152 bytes"):
            read(path, {"a": jax.ShapeDtypeStruct((2 * BLOCK,), np.uint8)})

    def test_a_link_is_not_followed_even_to_the_right_bytes(self, path, tmp_path):
        block = block_of(path, 0)
        assert (tmp_path / "secret").read_bytes() == block.read_bytes()
        block.unlink()
        block.symlink_to(tmp_path / "secret")
        with pytest.raises(DamagedError, match="is missing"):
            facts(path)
        block.unlink()
        shutil.copy(tmp_path / "secret", block)
        facts(path)  # control

    def test_a_folder_that_is_a_link_is_refused_and_its_files_stay(self, path, tmp_path):
        blocks = path.parent / "blocks"
        blocks.rename(tmp_path / "elsewhere")
        blocks.symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere" / ("0" * 64)).write_text("a file of the user")
        tree = {"a": jnp.asarray(noise(2, 5))}
        uses = (lambda: facts(path), lambda: read(path, like(tree)), lambda: write(path, tree, {}))
        for use in (*uses, Checkpoints(path.parent).sweep):
            with pytest.raises(InputError, match="blocks' is a link: put the folder itself there"):
                use()
        assert len(list((tmp_path / "elsewhere").iterdir())) == 3


class TestRuns:
    """Every call of `train` is a session of its own, as of a new process."""

    @pytest.mark.parametrize("stops", [(8, 24, 100, 203), (1, 64, 65, 130, 131, 203)], ids=str)
    def test_a_broken_run_equals_an_unbroken_one(self, stops, tmp_path):
        """The ring is full after 64 updates, and entries are rewritten anywhere."""
        program = program_of(Ring())
        train(program, tmp_path / "whole", stops[-1])
        for updates in stops:
            train(program, tmp_path / "broken", updates)
        whole, broken = (newest(tmp_path / name, program)[1] for name in ("whole", "broken"))
        assert same(whole, broken)
        assert rows(tmp_path / "whole") == rows(tmp_path / "broken")
        assert (leaves(whole)[".state.entries"] != 0).all()

    def test_control_a_changed_entry_changes_what_is_learnt(self, tmp_path):
        program = program_of(Ring())
        train(program, tmp_path / "whole", 203)
        train(program, tmp_path / "broken", 100)
        path = Checkpoints(tmp_path / "broken" / "checkpoints").paths()[0]
        state = read(path, program.like)
        entries = state.state.entries.at[:, 50].add(1)
        write(path, state.__class__(state.state._replace(entries=entries), state.row), facts(path))
        train(program, tmp_path / "broken", 203)
        whole, broken = (newest(tmp_path / name, program)[1] for name in ("whole", "broken"))
        assert not same(whole.state.x, broken.state.x)

    def test_a_resumed_run_writes_what_changed(self, tmp_path):
        """Eight updates write half of one block of entries, and no more."""
        program, directory = program_of(Ring(rewrites=False)), tmp_path / "checkpoints"
        train(program, tmp_path, 64)
        for updates in range(72, 137, 8):
            before = files(directory)
            train(program, tmp_path, updates)
            assert written(directory, before) == BLOCK
        newest_path = Checkpoints(directory).paths()[0]
        assert newest_path.stat().st_size < 10_000
        assert [len(names) for names in listed(newest_path).values()] == [BLOCKS, 2]

    def test_control_a_run_that_trusts_nothing_writes_everything(self, tmp_path, monkeypatch):
        program, directory = program_of(Ring(rewrites=False)), tmp_path / "checkpoints"
        train(program, tmp_path, 64)
        monkeypatch.setattr(Blocks, "_judge", lambda self, name, whole: None)
        before = files(directory)
        train(program, tmp_path, 72)
        assert written(directory, before) == (BLOCKS + 2) * BLOCK

    @pytest.mark.parametrize("damage", ["a flipped bit", "a cut", "no file"])
    def test_a_damaged_block_leads_to_the_checkpoint_before(self, damage, tmp_path):
        program, said = program_of(Ring(rewrites=False)), []
        train(program, tmp_path / "whole", 203)
        for updates in (64, 80, 96):
            train(program, tmp_path / "broken", updates)
        last = Checkpoints(tmp_path / "broken" / "checkpoints").path(96)
        DAMAGES[damage](block_of(last, 1, ".state.entries"))
        assert load(tmp_path / "broken", program=program, warn=said.append).facts["update"] == 80
        train(program, tmp_path / "broken", 203, warn=said.append)
        assert "is damaged: its block 'blocks/" in said[0]
        assert "It was renamed to '000000000096.damaged'" in said[1]
        whole, broken = (newest(tmp_path / name, program)[1] for name in ("whole", "broken"))
        assert same(whole, broken)
        assert rows(tmp_path / "whole") == rows(tmp_path / "broken")

    def test_a_damaged_block_of_all_checkpoints_is_refused(self, tmp_path):
        """The price of storing once what never changes."""
        program = program_of(Ring())
        for updates in (8, 16):
            train(program, tmp_path, updates)
        DAMAGES["a flipped bit"](block_of(Checkpoints(tmp_path / "checkpoints").paths()[0], 0, ".state.fixed"))
        with pytest.raises(InputError, match="no whole checkpoint"):
            train(program, tmp_path, 24, warn=lambda text: None)

    def test_the_best_and_the_newest_are_opened(self, tmp_path):
        program = program_of(Ring(rewrites=False))
        for updates in (16, 32, 48, 64, 80):
            train(program, tmp_path, updates)
        paths = Checkpoints(tmp_path / "checkpoints").paths()
        for which in ("newest", "best"):
            opened = load(tmp_path, which, program=program)
            alone = read(tmp_path / "checkpoints" / f"{opened.facts['update']:012d}.farback", program.like)
            assert same(opened.state, alone)
        assert {name for path in paths for names in listed(path).values() for name in names} == files(
            tmp_path / "checkpoints"
        ).keys()

    def test_a_copied_run_resumes(self, tmp_path):
        program = program_of(Ring())
        train(program, tmp_path / "one", 30)
        shutil.copytree(tmp_path / "one", tmp_path / "other")
        for name in ("one", "other"):
            train(program, tmp_path / name, 70)
        assert same(*(newest(tmp_path / name, program)[1] for name in ("one", "other")))


def full_after(monkeypatch, count):
    """The disk is full after `count` more files."""
    flush, done = os.fsync, []

    def fsync(descriptor):
        done.append(descriptor)
        if len(done) > count:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


class TestFailures:
    @pytest.mark.parametrize("count", [2, 4, 7])
    def test_a_full_disk_leaves_the_last_checkpoint_whole(self, count, tmp_path, monkeypatch):
        """Full in the first block, in a later one, and in the checkpoint itself."""
        program = program_of(Ring())
        train(program, tmp_path / "whole", 150)
        train(program, tmp_path / "full", 64)
        before = files(tmp_path / "full" / "checkpoints")
        with monkeypatch.context() as patch:
            full_after(patch, count)
            with pytest.raises(
                StoppedError, match=r"No space left on device. The checkpoint of update 64 is whole"
            ) as stopped:
                train(program, tmp_path / "full", 100)
        assert stopped.value.code == 1
        assert files(tmp_path / "full" / "checkpoints") == before
        assert newest(tmp_path / "full", program)[0]["update"] == 64
        train(program, tmp_path / "full", 150)
        assert same(*(newest(tmp_path / name, program)[1] for name in ("whole", "full")))
        assert rows(tmp_path / "whole") == rows(tmp_path / "full")

    def test_control_without_the_sweep_the_blocks_of_a_failed_save_stay(self, tmp_path, monkeypatch):
        program = program_of(Ring())
        train(program, tmp_path, 64)
        before = files(tmp_path / "checkpoints")
        full_after(monkeypatch, 3)
        monkeypatch.setattr(Checkpoints, "sweep", lambda self: None)
        with pytest.raises(StoppedError):
            train(program, tmp_path, 100)
        assert len(files(tmp_path / "checkpoints")) > len(before)

    def test_what_a_killed_process_left_is_deleted_when_the_run_resumes(self, tmp_path):
        program, directory = program_of(Ring()), tmp_path / "checkpoints"
        train(program, tmp_path, 64)
        before = files(directory)
        (directory / "blocks" / f".{'1' * 64}.part").write_bytes(b"half a block")
        (directory / "blocks" / ("2" * 64)).write_bytes(b"a block that no checkpoint lists")
        (directory / ".000000000080.farback.part").write_bytes(b"half a checkpoint")
        train(program, tmp_path, 64)
        assert files(directory) == before
        assert not list(directory.glob(".*"))

    @pytest.mark.parametrize(("count", "saved"), [(4, 64), (7, 64), (8, 64), (9, 100)])
    @pytest.mark.slow
    def test_a_run_killed_while_it_saves_equals_an_unbroken_one(self, count, saved, tmp_path):
        """The process kills itself as it flushes a block, their folder, the checkpoint, and the name of the checkpoint."""
        script = KILLED.format(directory=str(tmp_path / "killed"), count=count)
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "JAX_ENABLE_X64": "1"}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        program = program_of(Ring())
        assert newest(tmp_path / "killed", program)[0]["update"] == saved
        for name in ("killed", "whole"):
            train(program, tmp_path / name, 150)
        assert same(*(newest(tmp_path / name, program)[1] for name in ("killed", "whole")))
        paths = Checkpoints(tmp_path / "killed" / "checkpoints").paths()
        union = {name for path in paths for names in listed(path).values() for name in names}
        assert files(tmp_path / "killed" / "checkpoints").keys() == union


KILLED = """
import os, signal
from pathlib import Path
from replay_ring import Ring, ring_program
from farback.runs.loop import train

program = ring_program(Ring())
train(program, Path({directory!r}), 64)
flush, done = os.fsync, []

def fsync(descriptor):
    done.append(descriptor)
    if len(done) >= {count}:
        os.kill(os.getpid(), signal.SIGKILL)
    flush(descriptor)

os.fsync = fsync
train(program, Path({directory!r}), 100)
"""
