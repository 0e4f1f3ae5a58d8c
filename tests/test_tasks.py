"""Each task tells the truth: its stream follows its law, and its optimum and memoryless optimum are reached, not beaten."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from engram import AnBn, InputError, Recall, Window

TASKS = [AnBn(1, 1), AnBn(1, 4), AnBn(2, 5), Recall(1), Recall(4, symbols=3)]


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_sizes_and_windows(task, key):
    window = next(task.windows(9, 4, key=key))
    assert window.checked() is window
    assert window.inputs.shape == (4, 9, task.input_size)
    assert window.first[:, 0].all()
    loss, _ = task.loss(jnp.zeros(task.output_size), jax.tree.map(lambda leaf: leaf[0, 0], window.targets))
    assert loss.shape == ()


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_windows_follow_one_another(task, key):
    sources = task.sources(3, key)
    _, whole = task.window(sources, 12)
    halves = list(itertools.islice(task.windows(6, 3, key=key), 2))
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *halves)
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(joined), jax.tree.leaves(whole), strict=True))


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_no_memoryless_predictor_beats_the_stated_loss_and_the_best_one_reaches_it(task, key):
    """The best memoryless predictor, fitted by counting, on a long stream."""
    _, window = task.window(task.sources(16, key), 6000)
    inputs = np.asarray(window.inputs).reshape(-1, task.input_size)
    symbols = inputs @ 2.0 ** np.arange(task.input_size)
    targets = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(-1), window.targets)
    label, weight = (targets, np.ones(len(inputs))) if isinstance(task, AnBn) else targets
    total = 0.0
    for symbol in np.unique(symbols):
        here = symbols == symbol
        counts = np.bincount(label[here], weights=weight[here], minlength=task.output_size)
        if counts.sum():
            logits = jnp.log(jnp.asarray(counts / counts.sum()) + 1e-12)
            total += sum(counts[k] * float(optimal_loss(task, logits, k)) for k in range(task.output_size) if counts[k])
    assert total / len(inputs) == pytest.approx(task.memoryless, rel=0.03)
    assert task.optimum <= task.memoryless


def optimal_loss(task, logits, label):
    targets = jnp.array(label) if isinstance(task, AnBn) else type_of_targets(task)(jnp.array(label), jnp.array(1.0))
    return task.loss(logits, targets)[0]


def type_of_targets(task):
    _, window = task.window(task.sources(1, jax.random.key(0)), 1)
    return type(window.targets)


@pytest.mark.parametrize(("low", "high"), [(1, 4), (2, 5), (3, 3)])
def test_an_bn_is_a_stream_of_lines(low, high, key):
    _, window = AnBn(low, high).window(AnBn(low, high).sources(1, key), 3000)
    symbols = np.asarray(window.inputs[0]).argmax(-1)
    assert (np.asarray(window.targets[0])[:-1] == symbols[1:]).all()
    assert not window.first[0, 1:].any()
    lines = "".join("ab\n"[symbol] for symbol in symbols).split("\n")[:-1]
    pairs = list(zip(lines[::2], lines[1::2], strict=False))[:-1]
    assert all(a == "a" * len(a) and b == "b" * len(a) for a, b in pairs)
    lengths = np.array([len(a) for a, _ in pairs])
    assert set(lengths) == set(range(low, high + 1))
    spread = (high - low + 1) ** 2 / 12 / len(lengths)
    assert abs(lengths.mean() - (low + high) / 2) < 5 * math.sqrt(spread) + 1e-9


def test_the_optimum_of_an_bn_is_reached_by_counting(key):
    """A predictor that counts pays ln(remaining lengths) in all while the a's last, and nothing afterwards."""
    task = AnBn(1, 4)
    _, window = task.window(task.sources(8, key), 4000)
    symbols, total = np.asarray(window.inputs).argmax(-1), 0.0
    targets = np.asarray(window.targets)
    for row, target in zip(symbols, targets, strict=True):
        count, phase = 0, "a"
        for symbol, wanted in zip(row, target, strict=True):
            if symbol == 0:
                phase, count = "a", count + 1 if phase == "a" else 1
                stop = 1 / (4 - count + 1)
                total -= math.log(stop if wanted == 2 else 1 - stop)
            elif symbol == 2 and phase == "a":
                phase = "b"
            elif symbol == 2:
                phase, count = "a", 0
    assert total / symbols.size == pytest.approx(task.optimum, rel=0.02)


def test_the_numbers_of_the_thesis():
    assert AnBn(1, 32).optimum / math.log(2) == pytest.approx(5 / 35)
    assert Recall(1, 2).memoryless == pytest.approx(math.log(2) / 2)


def test_recall_asks_for_what_was_shown(key):
    task = Recall(3, symbols=4)
    _, window = task.window(task.sources(5, key), 40)
    inputs, first = np.asarray(window.inputs), np.asarray(window.first)
    label, weight = (np.asarray(leaf) for leaf in window.targets)
    for row in range(5):
        shown = inputs[row, ::4, :4].argmax(-1)
        assert first[row].nonzero()[0].tolist() == list(range(0, 40, 4))
        assert weight[row].nonzero()[0].tolist() == list(range(3, 40, 4))
        assert (label[row, 3::4] == shown).all()
        assert (inputs[row, 3::4, 4] == 1).all()
        assert inputs[row, 1::4].sum() == inputs[row, 2::4].sum() == 0
    assert len(np.unique(label)) == 4


def test_a_source_is_not_a_window(key):
    with pytest.raises(InputError, match="batch, time"):
        Window(jnp.array(True), jnp.zeros(3), jnp.zeros(2)).checked()
