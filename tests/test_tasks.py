"""Each task: its stream has its distribution, and its optimum and its memoryless loss are reached and not beaten."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from task_table import BATCH, ROWS, STEPS, at, drawn, row_of, same, sample

from farback import InputError, Window
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

pytestmark = pytest.mark.slow

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.task))
each_blind_row = pytest.mark.parametrize("blind_row", [row for row in ROWS if row.place], ids=lambda row: str(row.task))


@functools.cache
def loss(task):
    return jax.jit(jax.vmap(jax.vmap(task.loss)))


def losses_of(task, outputs):
    """The losses of a predictor, `[batch, time]`."""
    targets = jax.tree.map(lambda leaf: leaf[: len(outputs), : outputs.shape[1]], sample(task).targets)
    return np.asarray(loss(task)(jnp.asarray(outputs), targets)[0])


def mean_and_error(losses):
    means = losses.mean(1)
    return means.mean(), means.std(ddof=1) / math.sqrt(len(means))


def assert_level(losses, level):
    mean, error = mean_and_error(losses)
    assert abs(mean - level) < 5 * error + 0.02 * level + 1e-9, f"{mean} ± {error}, but it should be {level}"


def numbered(rows):
    """The number of the class of each row of an array `[batch, time, size]`; rows that are close are of one class."""
    rows = np.ascontiguousarray(np.round(rows * 20).astype(np.int8))
    return np.unique(rows.view(f"V{rows.shape[-1]}")[..., 0], return_inverse=True)[1].reshape(rows.shape[:2])


def table(task, contexts, fit, smooth=0.0):
    """The outputs of the best table of contexts, fitted to the sequences `fit`."""
    targets = sample(task).targets
    if isinstance(task, Adding):
        weight = targets.weight[fit].ravel()
        sums = np.bincount(contexts[fit].ravel(), weight * targets.value[fit].ravel(), contexts.max() + 1)
        return (sums / np.maximum(np.bincount(contexts[fit].ravel(), weight, contexts.max() + 1), 1))[contexts][..., None]
    label, weight = targets if isinstance(targets, tuple) else (targets, np.ones(targets.shape))
    counts = np.full((contexts.max() + 1, task.output_size), smooth + 1e-40)
    np.add.at(counts, (contexts[fit].ravel(), label[fit].ravel()), weight[fit].ravel())
    return np.log(counts)[contexts]


def on_other_sequences(task, contexts):
    """The losses of tables that are fitted to one half of the sequences and scored on the other."""
    halves = np.split(np.arange(BATCH), 2)
    outputs = [table(task, contexts, fit, smooth=0.1)[score] for fit, score in (halves[::-1], halves)]
    return losses_of(task, np.concatenate(outputs))


@each_row
def test_task_windows_have_the_stated_sizes(row):
    task, window = row.task, sample(row.task)
    assert jax.tree.map(jnp.asarray, window).checked()
    assert window.inputs.shape == (BATCH, STEPS, task.input_size)
    assert losses_of(task, np.zeros((BATCH, STEPS, task.output_size))).shape == (BATCH, STEPS)


@each_row
def test_task_precision_is_that_of_the_program(row):
    kinds = {leaf.dtype.name for leaf in jax.tree.leaves(sample(row.task))}
    assert kinds <= {"bool", "int64", "float64"}
    with jax.enable_x64(False):
        window = jax.eval_shape(lambda key: row.task.window(row.task.sources(3, key), 4)[1], jax.random.key(1))
        assert {leaf.dtype.name for leaf in jax.tree.leaves(window)} <= {"bool", "int32", "float32"}
    output, target = jnp.zeros(row.task.output_size, jnp.float32), at(sample(row.task).targets, (0, 0))
    loss = jax.eval_shape(row.task.loss, output, target)
    assert {(leaf.dtype.name, leaf.shape) for leaf in jax.tree.leaves(loss)} == {("float32", ())}


@each_row
def test_task_batch_equals_its_sequences(row):
    source, emit = row.task.begin(jax.random.split(jax.random.key(1), BATCH)[2]), jax.jit(row.task.emit)
    for step in range(6):
        source, alone = emit(source)
        assert same(alone, at(sample(row.task), (2, step)))


@pytest.mark.parametrize("row", ROWS[::5], ids=lambda row: str(row.task))
def test_task_windows_are_consecutive(row):
    halves = list(itertools.islice(row.task.windows(6, BATCH, key=jax.random.key(1)), 2))
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *halves)
    assert same(joined, at(sample(row.task), (slice(None), slice(12))))


@each_row
def test_task_stream_is_a_function_of_its_key(row):
    _, for_the_same_key, for_another = drawn(row.task)
    assert for_the_same_key
    assert for_another == (row.task == AnBn(1, 1))


@each_row
def test_task_first_marks_where_episodes_begin(row):
    time = np.arange(STEPS)
    assert (sample(row.task).first == (time % row.episode == 0 if row.episode else time == 0)).all()


@each_row
def test_task_inputs_have_their_means(row):
    for index, mean in enumerate(row.inputs):
        found, error = mean_and_error(sample(row.task).inputs[..., index])
        assert abs(found - mean) < 5 * error + 0.002, f"input {index}: {found} ± {error}, but it should be {mean}"


@each_row
def test_task_memoryless_loss_is_that_of_the_best_memoryless_predictor(row):
    """Fitted by counting on a long stream."""
    contexts = numbered(sample(row.task).inputs)
    assert_level(losses_of(row.task, table(row.task, contexts, slice(None))), row.task.memoryless)
    assert row.task.optimum <= row.task.memoryless


@pytest.mark.parametrize("kind", [Brackets, Copy, SignalledCopy, Adding])
def test_control_a_table_with_other_contexts_has_another_loss(kind):
    task = row_of(kind).task
    seen = numbered(sample(task).inputs)
    target = sample(task).targets
    told = np.unique(np.round(20 * target.value) if kind is Adding else target, return_inverse=True)[1].reshape(seen.shape)
    for contexts in (told, np.zeros_like(seen)):
        with pytest.raises(AssertionError, match="should be"):
            assert_level(losses_of(task, table(task, contexts, slice(None))), task.memoryless)


@each_row
def test_task_optimum_is_the_loss_of_the_best_predictor(row):
    """The predictor reads the inputs so far, in endless streams the last hundred."""
    batch, steps = 16, 1200
    inputs, begins = sample(row.task).inputs, np.arange(steps)
    begins = begins - begins % row.episode if row.episode else np.maximum(begins - 100, 0)
    outputs = [
        [row.perfect(row.task, sequence[begin : step + 1]) for step, begin in enumerate(begins)]
        for sequence in inputs[:batch]
    ]
    assert_level(losses_of(row.task, np.array(outputs, float)), row.task.optimum)


@each_row
def test_task_needs_more_than_the_last_two_inputs(row):
    """The best table of the last two inputs, scored on other sequences."""
    inputs = sample(row.task).inputs
    before = np.concatenate([np.zeros_like(inputs[:, :1]), inputs[:, :-1]], axis=1)
    mean, error = mean_and_error(on_other_sequences(row.task, numbered(np.concatenate([before, inputs], axis=-1))))
    assert mean > row.brief * 0.99 - 5 * error


@pytest.mark.parametrize("kind", [AnBn, Brackets])
def test_control_an_early_input_needs_less(kind):
    row = next(row for row in ROWS if isinstance(row.task, kind) and row.brief)
    early = np.roll(sample(row.task).inputs, -1, axis=1)
    mean, error = mean_and_error(on_other_sequences(row.task, numbered(early)))
    assert mean < row.brief - 5 * error


@each_blind_row
def test_task_blind_loss_is_that_of_the_best_blind_predictor(blind_row):
    task = blind_row.task
    contexts = np.stack([blind_row.place(task, sequence) for sequence in sample(task).inputs])
    assert_level(losses_of(task, table(task, contexts, slice(None))), task.blind)
    assert task.optimum <= task.blind


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (Recall(5), Recall(10**6)),
        (Brackets(1, 5, 10), Brackets(1, 10**6, 10)),
        *((kind(5), kind(10**6)) for kind in (Copy, VariableCopy, SignalledCopy, ScatteredCopy)),
        (Adding(6), Adding(10**6)),
        (Warp(1, 3), Warp(1, 10**6, length=10**6)),
        (NoisyRecall(7), NoisyRecall(10**6)),
    ],
    ids=str,
)
def test_task_source_has_the_same_size_for_a_longer_delay(short, long, key):
    one, other = (jax.eval_shape(task.begin, key) for task in (short, long))
    assert jax.tree.map(lambda leaf: leaf.shape, one) == jax.tree.map(lambda leaf: leaf.shape, other)


def test_window_without_batch_and_time_is_refused():
    with pytest.raises(InputError, match="batch, time"):
        Window(jnp.array(True), jnp.zeros(3), jnp.zeros(2)).checked()
