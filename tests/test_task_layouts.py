"""Each task has the layout of its paper, and draws from the stated distributions."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from task_table import BATCH, STEPS, episodes, row_of, sample, uniformly

from farback.ops.random import below, entropy, normal, unit
from farback.tasks import (
    Adding,
    AnBn,
    Brackets,
    Copy,
    NoisyRecall,
    Recall,
    ScatteredCopy,
    SignalledCopy,
    VariableCopy,
    Warp,
)
from farback.tasks.base import regression

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("low", "high"), [(1, 4), (2, 5), (1, 1)])
def test_an_bn_is_a_stream_of_lines(low, high):
    window = sample(AnBn(low, high))
    symbols = window.inputs[0].argmax(-1)
    assert (window.targets[0, :-1] == symbols[1:]).all()
    lines = "".join("ab\n"[symbol] for symbol in symbols).split("\n")[:-1]
    pairs = list(zip(lines[::2], lines[1::2], strict=False))[:-1]
    assert all(a == "a" * len(a) and b == "b" * len(a) for a, b in pairs)
    assert uniformly(np.array([len(a) - low for a, _ in pairs]), high - low + 1)


def test_brackets_are_lines_with_equal_groups():
    task = row_of(Brackets).task
    lines = episodes(task, task.line).inputs.argmax(-1)
    assert lines[0, :3].tolist() != lines[1, :3].tolist()
    assert (lines[:, [0, 3, 7, 10, 11]] == [4, 5, 4, 5, 6]).all()
    assert (lines[:, 1:3] == lines[:, 8:10]).all()
    digits = lines[:, [1, 2, 4, 5, 6]]
    assert uniformly(digits[:, :3] @ [16, 4, 1], 64)
    assert uniformly(digits[:, 2:] @ [16, 4, 1], 64)


def test_recall_asks_for_the_cue():
    task = Recall(4, symbols=3)
    window = episodes(task, 5)
    label, weight = window.targets
    assert (weight == [0, 0, 0, 0, 1]).all()
    assert (window.inputs[:, 0, :3].argmax(-1) == label[:, 4]).all()
    assert (window.inputs[..., 3] == weight).all()
    assert window.inputs[:, 1:4].sum() == 0
    assert uniformly(label[:, 4], 3)


def test_copy_and_signalled_copy_have_their_layouts():
    layouts = {Copy(5, 3, 2): "dd....!..", SignalledCopy(4, 3, 2): "dd....!!"}
    for task, layout in layouts.items():
        window = episodes(task, len(layout))
        shown = window.inputs.argmax(-1)
        assert (np.maximum(shown, 2) == [{"d": 2, ".": 3, "!": 4}[mark] for mark in layout]).all()
        assert (window.targets[:, -2:] == shown[:, :2]).all()
        assert (window.targets[:, :-2] == task.symbols).all()
        assert uniformly(shown[:, 0] * 3 + shown[:, 1], 9)


def test_variable_copy_has_a_uniform_signal():
    task = row_of(VariableCopy).task
    window = episodes(task, task.episode_length)
    signals = window.inputs[..., task.symbols + 1]
    assert (signals.sum(1) == 1).all()
    assert uniformly(signals.argmax(1) - task.length, task.delay)


def test_scattered_copy_has_uniform_signals():
    task = row_of(ScatteredCopy).task
    signals = episodes(task, task.episode_length).inputs[..., task.symbols + 1]
    assert (signals.sum(1) == task.length).all()
    pairs = list(itertools.combinations(range(task.length, task.episode_length), task.length))
    places = [pairs.index(tuple(np.flatnonzero(episode))) for episode in signals[:4000]]
    assert uniformly(np.array(places), len(pairs))


@pytest.mark.parametrize("length", [6, 7])
def test_adding_marks_a_number_of_each_half(length):
    value, mark = np.moveaxis(episodes(Adding(length), length).inputs, -1, 0)
    half = length // 2
    assert (mark[:, :half].sum(1) == 1).all()
    assert (mark[:, half:].sum(1) == 1).all()
    assert uniformly(mark[:, :half].argmax(1) * (length - half) + mark[:, half:].argmax(1), half * (length - half))
    assert uniformly((8 * value[:, 0]).astype(int), 8)
    assert uniformly((8 * value[mark == 1]).astype(int), 8)


@pytest.mark.parametrize("task", [Warp(1, 4, False, 5, None), Warp(1, 3, True, 5, None)], ids=str)
def test_warp_repeats_or_pads_characters(task):
    window = sample(task)
    runs, shifts = [], []
    for sequence, target, weight in zip(window.inputs.argmax(-1), *window.targets, strict=True):
        begins = np.flatnonzero(sequence if task.pad else np.diff(sequence, prepend=0))
        letters = sequence[begins]
        assert (weight == (sequence > 0 if task.pad else 1)).all()
        assert (target[begins] == [0, *letters[:-1]]).all()
        assert task.pad or (target == np.repeat([0, *letters[:-1]], np.diff(begins, append=STEPS))).all()
        runs.append(np.diff(begins))
        shifts.append(np.diff(letters) % 4)
    assert uniformly(np.concatenate(runs) - 1, task.high)
    assert uniformly(np.concatenate(shifts) - 1, 3)


def test_noisy_recall_shows_its_class_under_noise():
    task = row_of(NoisyRecall).task
    window = episodes(task, task.length)
    value, flag = np.moveaxis(window.inputs, -1, 0)
    assert (flag == [0] * 6 + [1]).all()
    assert (value[:, 6] == 0).all()
    assert uniformly(window.targets.label[:, 6], 2)
    noise = value[:, :6] - (2 * window.targets.label[:, 6:] - 1) * (np.arange(6) < 3)
    assert np.abs(noise.mean(0)).max() < 5 * 1.5 / math.sqrt(len(noise))
    assert np.abs(np.cov(noise.T) - 1.5**2 * np.eye(6)).max() < 5 * 1.5**2 * math.sqrt(2 / len(noise))


def test_noisy_recall_has_the_stated_best_accuracy():
    task = NoisyRecall(6)
    _, window = task.window(task.sources(BATCH, jax.random.key(1)), STEPS)
    sums = np.asarray(window.inputs)[..., 0].reshape(BATCH, -1, 6).sum(-1) - np.asarray(window.inputs)[:, 4::6, 0]
    right = ((sums > 0) == np.asarray(window.targets.label)[:, ::6]).mean()
    assert right == pytest.approx(0.977, abs=5 * math.sqrt(0.977 * 0.023 / sums.size))


def test_task_levels_are_those_of_the_papers():
    bits = math.log(2)
    assert AnBn(1, 32).optimum / bits == pytest.approx(5 / 35)
    assert Recall(1, 2).memoryless == pytest.approx(bits / 2)
    assert Brackets(1, 5, 10).optimum / bits == pytest.approx(1.661, abs=5e-4)
    assert Brackets(1, 5, 10).blind / bits == pytest.approx(1.938, abs=5e-4)
    for task, level in ((Copy(500), 0.0400), (Copy(2000), 0.0103), (VariableCopy(1000), 0.0204)):
        assert task.blind == pytest.approx(level, abs=5e-5)
    for task in (Adding(200), Adding(750)):
        assert task.blind * task.length == pytest.approx(0.167, abs=5e-4)


def test_regression_reports_the_error_of_weighted_steps():
    asked, not_asked = (
        regression(jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0]), jnp.asarray(weight)) for weight in (1.0, 0.0)
    )
    assert asked[0] == asked[1]["squared_error"].mean == 5
    assert not_asked[0] == not_asked[1]["squared_error"].count == 0


def test_words_make_uniform_and_normal_numbers():
    words = jax.random.bits(jax.random.key(0), (100_000,), jnp.uint32)
    assert uniformly(np.asarray(jax.vmap(lambda word: below(7, word))(words)), 7)
    assert uniformly((16 * np.asarray(jax.vmap(unit)(words))).astype(int), 16)
    numbers = np.asarray(jax.vmap(normal)(words))
    assert uniformly(((1 + np.vectorize(math.erf)(numbers / math.sqrt(2))) * 8).astype(int), 16)
    with jax.enable_x64(False):
        ends = jnp.array([0, 2**32 - 1], jnp.uint32)
        assert jax.vmap(unit)(ends).tolist() == [0.0, 1 - 2**-24]
        assert np.isfinite(jax.vmap(normal)(ends)).all()
    assert entropy(1, 1, 0) == pytest.approx(2 * math.log(2))
