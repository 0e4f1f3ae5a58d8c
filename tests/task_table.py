"""The table of tasks, with their expected properties: a new task is one row."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from farback import Window
from farback.tasks import (
    AbstractTask,
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

BATCH, STEPS = 32, 3000


class Row(NamedTuple):
    """A task and its expected properties.

    - `episode`: the steps of an episode, None for an endless stream.
    - `perfect`: the best predictor, written by hand: from the inputs of the episode so far to logits, or to the value.
    - `inputs`: the mean of each input.
    - `brief`: a lower bound on the loss of a predictor of the last two steps.
    - `place`: the position of each step, the only input of a blind predictor; for tasks that state `blind`.
    """

    task: AbstractTask
    episode: int | None
    perfect: Callable
    inputs: list[float]
    brief: float = 0.0
    place: Callable | None = None


def certainly(task, symbol):
    return np.where(np.arange(task.output_size) == symbol, 0.0, -100.0)


def count_letters(task, seen):
    """The remaining lengths of a run of a are equally likely; a run of b is as long as the run of a before it."""
    symbols = "".join("ab\n"[symbol] for symbol in seen.argmax(-1))
    *_, before, now = ["", *symbols.split("\n")]
    if now.startswith("b") or (not now and before.startswith("a")):
        return certainly(task, 1 if len(now) < len(before) else 2)
    stop = 0.0 if len(now) < task.low else 1 / (task.high - len(now) + 1)
    return np.log([1 - stop + 1e-40, 1e-40, stop + 1e-40])


def first_symbol(task, seen):
    return certainly(task, seen[0, : task.symbols].argmax())


def same_brackets(task, seen):
    symbols = seen.argmax(-1).tolist()
    line = symbols[::-1].index(task.a + 2) if task.a + 2 in symbols else len(symbols)
    line = symbols[len(symbols) - line :]
    second = task.s + task.k + 2
    marks = {0: 0, second: 0, task.s + 1: 1, second + task.s + 1: 1, second + task.s + 2: 2}
    if len(line) in marks:
        return certainly(task, task.a + marks[len(line)])
    if len(line) > second:
        return certainly(task, line[len(line) - second])
    return np.log((np.arange(task.output_size) < task.a) + 1e-40)


def data_after_signal(task, seen):
    symbols = seen.argmax(-1).tolist()
    signal = task.symbols + 1
    late = len(symbols) - symbols.index(signal) - 2 if signal in symbols else -1
    return certainly(task, symbols[late] if 0 <= late < task.length else task.symbols)


def data_at_signals(task, seen):
    symbols = seen.argmax(-1).tolist()
    signal = task.symbols + 1
    return certainly(task, symbols[symbols.count(signal) - 1] if symbols[-1] == signal else task.symbols)


def marked_sum(task, seen):
    del task
    return seen.prod(-1).sum()[None]


def last_other_letter(task, seen):
    letters = seen.argmax(-1)
    letters = letters[letters > 0]
    others = letters[letters != letters[-1]]
    return certainly(task, others[-1] if len(others) else 0)


def log_odds(task, seen):
    return np.array([0.0, 2 * seen[: task.cues, 0].sum() / task.noise**2])


def position(period):
    return lambda task, inputs: np.arange(len(inputs)) % period


def since_signal(task, inputs):
    """The steps since the signal, 0 before it; an episode begins every `episode_length` steps."""
    signals = inputs[:, task.symbols + 1].astype(int)
    since = np.zeros(len(inputs), int)
    for step in range(1, len(inputs)):
        goes_on = step % task.episode_length and (signals[step - 1] or since[step - 1])
        since[step] = since[step - 1] + 1 if goes_on else 0
    return np.minimum(since, task.length + 1)


def at_signal(task, inputs):
    return inputs[:, task.symbols + 1].astype(int)


def an_bn(low, high):
    task, mean = AnBn(low, high), (low + high) / 2
    return Row(task, None, count_letters, [mean / (2 * mean + 2)] * 2 + [1 / (mean + 1)], task.optimum)


def recall(delay, symbols=2):
    task, steps = Recall(delay, symbols), delay + 1
    return Row(task, steps, first_symbol, [1 / steps / symbols] * symbols + [1 / steps], task.memoryless * (delay > 1))


def brackets(s, k, a):
    task, line = Brackets(s, k, a), 2 * s + k + 5
    inputs = [(2 * s + k) / a / line] * a + [2 / line, 2 / line, 1 / line]
    return Row(task, None, same_brackets, inputs, task.blind, position(line))


def copying(kind, delay, symbols, length, perfect, signals, place=None):
    task, steps = kind(delay, symbols, length), delay + 2 * length
    inputs = [length / symbols / steps] * symbols + [(delay + length - signals) / steps, signals / steps]
    return Row(task, steps, perfect, inputs, task.blind, place or position(steps))


def adding(length):
    task, half = Adding(length), length - length // 2
    return Row(task, length, marked_sum, [0.5, 2 / length], (2 - 2 / half) / 12 / length, position(length))


def warp(low, high, pad, symbols, length):
    task, letters = Warp(low, high, pad, symbols, length), symbols - 1
    shown = (2 / (low + high) if length is None else expected_runs(low, high, length) / length) if pad else 1.0
    unknown = 1 - (low == 1) / (high - low + 1) if pad else 1 - 2 / (low + high)
    brief = shown * unknown * math.log(letters - 1) if length is None else 0.0
    return Row(task, length, last_other_letter, [1 - shown] + [shown / letters] * letters, brief)


def expected_runs(low, high, steps):
    """The expected number of runs that begin in `steps` steps: the sum over k of P(k runs take less than `steps`)."""
    run = np.arange(high + 1) >= low
    total, ends = 0.0, np.ones(1)
    while len(ends):
        total += ends.sum()
        ends = np.convolve(ends, run / run.sum())[:steps]
        ends = ends if ends.sum() > 1e-12 else ends[:0]
    return total


def noisy_recall(length, cues, noise):
    task = NoisyRecall(length, cues, noise)
    return Row(task, length, log_odds, [0.0, 1 / length], task.memoryless if length > cues + 2 else task.optimum)


ROWS = [
    an_bn(1, 1),
    an_bn(1, 4),
    an_bn(2, 5),
    recall(1),
    recall(4, symbols=3),
    brackets(2, 3, 4),
    brackets(1, 0, 2),
    brackets(1, 5, 10),
    copying(Copy, 5, 3, 2, data_after_signal, 1),
    copying(Copy, 1, 2, 3, data_after_signal, 1),
    copying(VariableCopy, 5, 3, 2, data_after_signal, 1, since_signal),
    copying(SignalledCopy, 4, 3, 2, data_at_signals, 2),
    copying(ScatteredCopy, 4, 3, 2, data_at_signals, 2, at_signal),
    adding(6),
    adding(7),
    warp(3, 3, False, 6, 25),
    warp(1, 4, False, 6, 25),
    warp(2, 5, True, 6, 25),
    warp(30, 40, False, 5, 20),
    warp(2, 2, False, 5, None),
    warp(1, 4, False, 5, None),
    warp(1, 3, True, 5, None),
    noisy_recall(7, 3, 1.5),
]


def row_of(kind):
    return next(row for row in ROWS if isinstance(row.task, kind))


@functools.cache
def drawn(task):
    """A stream, whether the same key gives the same stream, and whether another key does."""
    draw = jax.jit(lambda key: task.window(task.sources(BATCH, key), STEPS)[1])
    one, again, other = (draw(jax.random.key(seed)) for seed in (1, 1, 2))
    return jax.tree.map(np.asarray, one), same(one, again), same(one, other)


def sample(task) -> Window:
    return drawn(task)[0]


def at(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def same(one, other):
    return all((a == b).all() for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def uniformly(values, count):
    """Whether values in {0, …, count − 1} are equally frequent: χ² within five standard deviations."""
    found = np.bincount(values, minlength=count)
    expected = len(values) / count
    assert len(found) == count
    return ((found - expected) ** 2 / expected).sum() <= count - 1 + 5 * math.sqrt(2 * (count - 1))


def episodes(task, steps):
    whole = STEPS // steps * steps
    return jax.tree.map(lambda leaf: leaf[:, :whole].reshape(-1, steps, *leaf.shape[2:]), sample(task))
