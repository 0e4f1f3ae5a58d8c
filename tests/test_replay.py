"""Laws of replays: a window equals what was added, writes touch nothing else, and draws follow their probabilities."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from farback.ops.scatter import last_of_each
from farback.replay import PrioritizedReplay, Replay, WindowIndices, importance_weights, replay_bytes
from farback.replay.sum_tree import SumTree
from farback.types import InputError

SLOTS = 3
ADDS = [(8, [3]), (8, [3, 3, 3]), (8, [5, 1, 5, 1, 8, 5]), (7, [2] * 9)]
"""Capacities, and the numbers of steps of consecutive calls of `add`: not full, full, and long past it."""
EXAMPLE = {"time": jax.ShapeDtypeStruct((), "int64"), "image": jax.ShapeDtypeStruct((2, 2), "uint8")}


def steps(begin, count):
    """Steps that tell their slot and time."""
    time = jnp.arange(begin, begin + count) + 1000 * jnp.arange(SLOTS)[:, None]
    return {"time": time, "image": jnp.broadcast_to(time.astype(jnp.uint8)[..., None, None], (*time.shape, 2, 2))}


def filled(replay, counts):
    """The replay after all adds, and the number of steps of each slot."""
    at, add = 0, jax.jit(lambda replay, new: replay.add(new))
    for count in counts:
        replay = add(replay, steps(at, count))
        at += count
    return replay, at


@pytest.mark.parametrize(("capacity", "counts"), ADDS)
@pytest.mark.parametrize("length", [1, 2, 5])
def test_replay_windows_are_those_that_were_added(capacity, counts, length):
    replay, at = filled(Replay.empty(EXAMPLE, SLOTS, capacity), counts)
    oldest = max(0, at - capacity)
    assert replay.starts(length) == max(at - oldest - length + 1, 0)
    if replay.starts(length) == 0:
        return
    indices, window = replay.sample(jax.random.key(0), 500, length)
    assert window["image"].dtype == jnp.uint8
    assert window["time"].shape == (500, length)
    assert (jnp.diff(window["time"], axis=1) == 1).all(), "consecutive, so no window straddles the head"
    slot, time = jnp.divmod(window["time"], 1000)
    assert (slot == indices.slot[:, None]).all()
    assert (window["image"] == window["time"].astype(jnp.uint8)[..., None, None]).all()
    assert set(np.unique(time)) == set(range(oldest, at))


@pytest.mark.parametrize("value", [0.0, 3.0, -jnp.inf, jnp.inf, jnp.nan])
def test_replay_adds_the_same_after_any_number(value):
    for replay in (Replay.empty(EXAMPLE, SLOTS, 8), PrioritizedReplay.empty(EXAMPLE, SLOTS, 8, 2)):
        one, other = replay.add(steps(0, 3)), replay.add(steps(0, 3), after=jnp.array(value))
        assert jax.tree.all(jax.tree.map(jnp.array_equal, one, other))


def test_replay_control_window_across_the_head_is_found():
    replay, _ = filled(Replay.empty(EXAMPLE, SLOTS, 8), [5, 5])
    across = replay.window(WindowIndices(jnp.array([0]), replay.head[None] - 2), 4)
    assert not (jnp.diff(across["time"], axis=1) == 1).all()


def test_replay_draws_are_uniform():
    replay, _ = filled(Replay.empty(EXAMPLE, SLOTS, 8), [5, 5])
    indices, _ = replay.sample(jax.random.key(1), 20_000, 3)
    counts = collections.Counter(zip(indices.slot.tolist(), indices.start.tolist(), strict=True))
    assert len(counts) == SLOTS * 6
    assert chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("length", [1, 3])
def test_replay_write_touches_nothing_else(length):
    replay, _ = filled(Replay.empty(EXAMPLE, SLOTS, 8), [5, 5])
    indices = WindowIndices(jnp.array([0, 2]), jnp.array([6, 1]))
    values = -1 - jnp.arange(2 * length).reshape(2, length)
    written = replay.write(indices, values, lambda steps: steps["time"])
    assert (written.window(indices, length)["time"] == values).all()
    assert (written.steps["image"] == replay.steps["image"]).all()
    assert (written.steps["time"] != replay.steps["time"]).sum() == 2 * length
    assert (written.head, written.size) == (replay.head, replay.size)
    never = replay.write(indices, values, lambda steps: steps["time"], jnp.array(False))
    assert (never.steps["time"] == replay.steps["time"]).all()


def test_replay_write_of_overlapping_windows_keeps_the_later_one():
    replay, _ = filled(Replay.empty(EXAMPLE, SLOTS, 8), [8])
    generator = np.random.default_rng(0)
    for _ in range(20):
        indices = WindowIndices(*(jnp.asarray(generator.integers(0, high, 9)) for high in (SLOTS, 8)))
        values = jnp.asarray(generator.integers(-99, 0, (9, 4)))
        expected = np.array(replay.steps["time"])
        for slot, start, row in zip(*indices, values, strict=True):
            expected[slot, (start + np.arange(4)) % 8] = row
        assert (replay.write(indices, values, lambda steps: steps["time"]).steps["time"] == expected).all()


def test_last_of_each_control_the_first_differs():
    indices, values = jnp.array([2, 0, 2, 2]), jnp.array([1.0, 2.0, 3.0, 4.0])
    order, target = last_of_each(indices, 3)
    assert jnp.zeros(3).at[target].set(values[order], mode="drop").tolist() == [2.0, 0.0, 4.0]
    assert (target < 3).sum() == 2


def test_replay_seeds_are_an_axis():
    """Under `jax.vmap`, each seed has the replay that it has alone."""

    def run(key):
        def one(replay, at):
            new = jax.tree.map(lambda leaf: leaf + jnp.asarray(at, leaf.dtype), steps(0, 2))
            replay = replay.add(new)
            indices, window = replay.sample(jax.random.fold_in(key, at), 4, 2)
            return replay.write(indices, window["time"] * 2, lambda steps: steps["time"]), window

        return jax.lax.scan(one, Replay.empty(EXAMPLE, SLOTS, 5), jnp.arange(6))

    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(run))(keys)
    for index, key in enumerate(keys):
        alone = jax.jit(run)(key)
        assert jax.tree.all(jax.tree.map(lambda one, all_, index=index: (one == all_[index]).all(), alone, together))


@pytest.mark.parametrize(("capacity", "counts"), ADDS)
@pytest.mark.parametrize("length", [1, 2, 5])
def test_prioritized_replay_draws_whole_windows_only(capacity, counts, length):
    replay, at = filled(PrioritizedReplay.empty(EXAMPLE, SLOTS, capacity, length), counts)
    whole = int(replay.replay.starts(length))
    assert (replay.tree.weights > 0).sum() == SLOTS * whole
    assert replay.tree.total == SLOTS * whole
    if not whole:
        return
    _, window, probability = replay.sample(jax.random.key(0), 400)
    assert (jnp.diff(window["time"], axis=1) == 1).all()
    assert set(np.unique(window["time"] % 1000)) == set(range(max(0, at - capacity), at))
    assert jnp.allclose(probability, 1 / (SLOTS * whole))


def begins(steps):
    """Episodes of 3, 4 and 6 steps in turn, at other times in each slot."""
    return jnp.isin((steps["time"] % 1000 + 2 * (steps["time"] // 1000)) % 13, jnp.array([0, 3, 7]))


@pytest.mark.parametrize(("capacity", "counts"), [(8, [8]), (30, [7, 11, 7, 11, 30]), (14, [2] * 17)])
@pytest.mark.parametrize("length", [1, 2, 4, 6])
def test_prioritized_replay_draws_windows_within_episodes(capacity, counts, length):
    replay, at = filled(PrioritizedReplay.empty(EXAMPLE, SLOTS, capacity, length, begins), counts)
    time = steps(max(0, at - capacity), min(at, capacity))["time"]
    first = np.asarray(begins({"time": time}))
    expected = {
        int(time[slot, begin])
        for slot in range(SLOTS)
        for begin in range(time.shape[1] - length + 1)
        if not first[slot, begin + 1 : begin + length].any()
    }
    assert replay.tree.total == len(expected)
    if expected:
        _, window, probability = replay.sample(jax.random.key(0), 60 * len(expected))
        assert set(np.asarray(window["time"][:, 0]).tolist()) == expected
        assert jnp.allclose(probability, 1 / len(expected))


def test_prioritized_replay_draws_follow_the_priorities():
    replay, _ = filled(PrioritizedReplay.empty(EXAMPLE, 3, 8, 3), [5, 5])
    indices, _, _ = replay.sample(jax.random.key(0), 300)
    priorities = jax.random.uniform(jax.random.key(1), (300,)) * 5
    replay = replay.set_priorities(indices, priorities)
    expected = {place: float(p) for place, p in zip(zip(*map(np.array, indices), strict=True), priorities, strict=True)}
    draw = jax.jit(lambda replay, key: replay.sample(key, 50))
    draws = [draw(replay, jax.random.key(seed)) for seed in range(200)]
    found = collections.Counter(place for drawn, _, _ in draws for place in zip(*map(np.array, drawn), strict=True))
    total = sum(expected.values())
    assert len(expected) == 18
    assert chisquare([found[place] for place in expected], [10_000 * p / total for p in expected.values()]).pvalue > 1e-3
    assert chisquare([found[place] for place in expected]).pvalue < 1e-9, "control: not uniform"
    indices, _, probability = draws[0]
    for slot, start, p in zip(*indices, probability, strict=True):
        assert np.isclose(p, expected[int(slot), int(start)] / total)
    assert replay.largest == max(1, priorities.max())
    again = replay.add(steps(10, 1))
    assert again.tree.weights.max() == replay.largest


def test_sum_tree_nodes_are_the_sums_of_their_children():
    tree, generator, expected = SumTree.zeros(13), np.random.default_rng(0), np.zeros(16)
    for _ in range(10):
        indices, weights = generator.integers(0, 13, 7), generator.uniform(0, 3, 7)
        tree = tree.set(jnp.asarray(indices), jnp.asarray(weights))
        for index, weight in zip(indices, weights, strict=True):
            expected[index] = weight
    assert np.array_equal(tree.weights, expected)
    nodes = np.asarray(tree.nodes)
    assert all(nodes[i] == nodes[2 * i] + nodes[2 * i + 1] for i in range(1, 16))
    tree = tree.set(jnp.arange(16), jnp.zeros(16).at[jnp.array([3, 9])].set(jnp.array([1.0, 3.0])))
    drawn = collections.Counter(tree.draw(jax.random.key(0), 4000)[0].tolist())
    assert drawn == {3: 1000, 9: 3000}, "draws are stratified"


def test_importance_weights_by_hand():
    weights = importance_weights(jnp.array([0.5, 0.25, 0.125]), jnp.array(4), 0.5)
    assert jnp.allclose(weights, jnp.array([2.0, 1.0, 0.5]) ** -0.5 / (0.5**-0.5))


def test_replay_refuses_bad_input():
    with pytest.raises(InputError, match="capacity=0"):
        Replay.empty(EXAMPLE, 2, 0)
    with pytest.raises(InputError, match="more than"):
        Replay.empty(EXAMPLE, 2**16, 2**16)
    replay = Replay.empty(EXAMPLE, SLOTS, 4)
    with pytest.raises(InputError, match="5 steps do not fit a capacity of 4"):
        replay.add(steps(0, 5))
    with pytest.raises(InputError, match="A window of 5 steps does not fit"):
        replay.sample(jax.random.key(0), 2, 5)
    with pytest.raises(InputError, match="length=5"):
        PrioritizedReplay.empty(EXAMPLE, SLOTS, 4, 5)
    prioritized = PrioritizedReplay.empty(EXAMPLE, SLOTS, 4, 2).add(steps(0, 4))
    indices, _, _ = prioritized.sample(jax.random.key(0), 2)
    for bad in (jnp.nan, -1.0, jnp.inf):
        with pytest.raises(InputError, match=r"priorities\[1\]"):
            prioritized.set_priorities(indices, jnp.array([1.0, bad]))
    changed, same = (prioritized.set_priorities(indices, jnp.array([3.0, 2.0]), jnp.array(when)) for when in (True, False))
    assert jnp.array_equal(same.tree.nodes, prioritized.tree.nodes)
    assert same.largest == 1
    assert not jnp.array_equal(changed.tree.nodes, prioritized.tree.nodes)
    assert changed.largest == 3
    assert replay_bytes(EXAMPLE, 3, 100) == 3 * 100 * 12
