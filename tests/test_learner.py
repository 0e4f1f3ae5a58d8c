"""A learner learns what its estimator can see, and not what it cannot."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest

from engram import BPTT, GRU, RTRL, TBPTT, UORO, Chain, Forget, Leaky, Learner, Normal, Recall, SnAp


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def train(estimator, length, updates, task=None, size=12, rate=1e-2):
    task = Recall(6, symbols=4) if task is None else task
    keys = jax.random.split(jax.random.key(1), 4)
    model = Chain(GRU(task.input_size, size, key=keys[0]), eqx.nn.Linear(size, task.output_size, key=keys[1]))
    learner = Learner(task, estimator, optax.adam(rate))
    state = learner.init(model, 16, key=keys[2])
    state, _, outcome = learner.train(state, task.sources(16, keys[3]), updates, length)
    late = slice(-updates // 5, None)
    return float(jnp.mean(outcome.loss[late])) / task.memoryless, state


@pytest.mark.parametrize(("estimator", "length", "updates"), [(BPTT(), 14, 600), (RTRL(), 7, 1200), (UORO(), 7, 2000)])
def test_recall_is_learnt_by_whoever_sees_the_cue(estimator, length, updates):
    relative, state = train(estimator, length, updates)
    assert relative < 0.3
    assert state.updates == updates


def test_what_lies_beyond_the_window_is_not_learnt_by_truncation():
    """A leak too quick for anything of the cue to be left, unless the recurrence is taught to hold it."""
    keys = jax.random.split(jax.random.key(2), 4)
    task = Recall(12, symbols=4)

    def late_loss(estimator):
        cell = Leaky(task.input_size, 12, gates=Forget(-1.0), state_init=Normal(0.05), key=keys[0])
        learner = Learner(task, estimator, optax.adam(1e-2))
        model = Chain(cell, eqx.nn.Linear(12, task.output_size, key=keys[1]))
        state = learner.init(model, 16, key=keys[2])
        _, _, outcome = learner.train(state, task.sources(16, keys[3]), 800, 26)
        return float(jnp.mean(outcome.loss[-100:])) / task.memoryless

    assert late_loss(TBPTT(2)) > 0.9
    assert late_loss(BPTT()) < 0.5


def test_updates_one_by_one_are_a_training_run(key):
    task, estimator = Recall(2), UORO()
    learner = Learner(task, estimator, optax.adam(1e-2))
    model = Chain(GRU(3, 4, key=key), eqx.nn.Linear(4, 2, key=key))
    state = start = learner.init(model, 2, key=key)
    losses = []
    for window, _ in zip(task.windows(3, 2, key=key), range(4), strict=False):
        state, outcome = learner.update(state, window)
        losses.append(outcome.loss)
    together, _, outcomes = learner.train(start, task.sources(2, key), 4, 3)
    assert jnp.allclose(jnp.stack(losses), outcomes.loss, rtol=1e-10)
    for leaf, other in zip(
        jax.tree.leaves(eqx.filter(state, eqx.is_inexact_array)),
        jax.tree.leaves(eqx.filter(together, eqx.is_inexact_array)),
        strict=True,
    ):
        assert jnp.allclose(leaf, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("estimator", [BPTT(), TBPTT(1), RTRL(), SnAp(), UORO()], ids=str)
def test_accuracy_counts_only_the_questions(estimator, key):
    task = Recall(2, symbols=3)
    learner = Learner(task, estimator, optax.sgd(0.0))
    model = Chain(GRU(4, 4, key=key), eqx.nn.Linear(4, 3, key=key))
    _, outcome = learner.update(learner.init(model, 5, key=key), next(task.windows(6, 5, key=key)))
    assert outcome.metrics["accuracy"].count == 10
    assert 0 <= outcome.metrics["accuracy"].mean <= 1
