"""A replay on the host holds what one on the device does, and nothing of it lies on the device."""

import errno
import os
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import leaves
from test_resume import RUNS
from tiers import slow_except

from farback import InputError, configure
from farback.ops import host_arrays
from farback.ops.host_arrays import HostArrays, HostShape, HostStore


def program(name, **more):
    algorithm, words = RUNS[name]
    made = configure(algorithm, **words | more, optimizer="adam(1e-2)", seed=5, seeds=2, log_every=2)
    return made.replace(total_steps=1000).program()


NAMES = ["dqn", "dqn-prioritized", "memory-actor-critic"]


@pytest.mark.parametrize("name", slow_except(["dqn"], NAMES))
def test_a_replay_on_the_host_learns_what_one_on_the_device_does(name):
    """The ring is overwritten several times; the memory-actor-critic also writes memories back into it."""
    with jax.numpy_dtype_promotion("standard"):
        here, there = program(name), program(name, buffer_on_host=True)
        device, host = (one.advance(one.init(), 12, 0)[0] for one in (here, there))
    assert int(device.state.updates[0]) == 12
    ring = getattr(device.state.replay, "replay", device.state.replay)
    for one, other in zip(jax.tree.leaves(ring.steps), jax.tree.leaves(host.host), strict=True):
        assert isinstance(other, np.memmap)
        np.testing.assert_allclose(one, other, atol=1e-12)
    assert np.ptp(host.host.reward) > 0, "control: the steps differ"
    ours, theirs = leaves(device.state), leaves(host.state)
    shared = ours.keys() & theirs.keys()
    assert set(ours) - shared == {name for name in ours if ".steps" in name}
    for leaf in shared:
        np.testing.assert_allclose(ours[leaf], theirs[leaf], atol=1e-12, err_msg=leaf)


def test_a_replay_on_the_host_takes_no_room_on_the_device():
    with jax.numpy_dtype_promotion("standard"):
        sizes = [program("dqn", buffer_on_host=on_host, buffer_size=400_000) for on_host in (True, False)]
    host, device = (sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(one.like.state)) for one in sizes)
    assert host < 10_000 < 400_000 < device
    assert sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(sizes[0].like.host)) > 400_000


def test_arrays_on_the_host_are_read_and_written_in_order():
    store = HostStore({"a": jax.ShapeDtypeStruct((3, 4), "int64"), "b": jax.ShapeDtypeStruct((3, 4, 2), "uint8")})
    store.arrays = jax.tree.map(lambda shape: shape.empty(), store.shapes(2))

    @jax.jit
    def write(seed, when):
        arrays = HostArrays(seed, store)
        slot, at = jnp.array([[1], [1]]), jnp.array([[0, 1], [1, 2]])
        arrays.set((slot, at), jnp.array([[1, 2], [3, 4]]), lambda all: all["a"], when)
        before = arrays.get((slot, at), lambda all: all["a"])
        arrays.set((slot, at), jnp.array([[5, 6], [7, 8]]), lambda all: all["a"], when)
        return before, arrays.get((slot, at), lambda all: all)

    before, after = write(jnp.array(1), jnp.array(True))
    assert before.tolist() == [[1, 3], [3, 4]], "of repeated indices, the last counts"
    assert after["a"].tolist() == [[5, 7], [7, 8]]
    assert after["b"].shape == (2, 2, 2)
    assert after["b"].dtype == jnp.uint8
    write(jnp.array(0), jnp.array(False))
    jax.effects_barrier()
    assert store.arrays["a"].tolist() == [[[0] * 4] * 3, [[0] * 4, [5, 7, 8, 0], [0] * 4]]


def test_an_array_on_the_host_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    array = HostShape((1000,), "float32").empty()
    array[:] = 1
    assert not os.listdir(tmp_path)


def test_a_full_disk_is_reported_before_anything_is_learnt(monkeypatch):
    def full(file, start, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(host_arrays, "_reserve", full)
    with pytest.raises(InputError, match=r"array of 4,000 bytes .*No space left on device.*TMPDIR"):
        HostShape((1000,), "float32").empty()


def test_a_replay_on_the_host_with_several_devices_is_refused():
    made = configure("dqn", **RUNS["dqn"][1], buffer_on_host=True, optimizer="adam(1e-2)", seeds=2, total_steps=100)
    with pytest.raises(InputError, match="devices = 2: arrays on the host"):
        made.program(2)
