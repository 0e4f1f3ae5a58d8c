"""The relative variance of figure 3.1 equals that of a plain loop over draws, and the closed form."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from farback import ReadoutNetwork, configure
from farback.cells import GRU
from farback.estimators import BPTT, TBPTT, UORO
from farback.network import NetworkStep
from farback.papers.engine.item import Place
from farback.papers.uoro import variance
from farback.runs.saved import LoadedRun
from farback.tasks import AnBn
from farback.tasks.base import Question
from farback.types import Window

pytestmark = pytest.mark.slow

TASK = AnBn(1, 3)
STEP = NetworkStep(TASK.loss)
UNITS, STEPS, RUNS = 3, 6, 5


def flat(tree):
    return ravel_pytree(tree)[0]


def pieces(window):
    """Its steps, each as a window."""
    return [jax.tree.map(lambda leaf, at=at: leaf[:, at : at + 1], window) for at in range(window.first.shape[1])]


def stream(key, steps=STEPS):
    """A network, and the first steps of the stream that it reads."""
    network = ReadoutNetwork(functools.partial(GRU, size=UNITS))(TASK, key=jax.random.key(7))
    return network, TASK.window(TASK.sources(1, key), steps)[1]


@eqx.filter_jit
def gradient(estimator, step, model, carry, window, key):
    return estimator.gradient(step, model, carry, window, key)[:2]


def in_a_loop(key, exact):
    """The result of `along_stream`, with the gradient of each loss by the estimator `exact` over the whole past."""
    model, window = stream(key)
    keys = jax.vmap(lambda key: jax.random.split(key, RUNS))(jax.random.split(key, STEPS))
    noise, signal = np.zeros(STEPS), np.zeros(STEPS)
    carries = [UORO().init(STEP, model, window)] * RUNS
    last = variance.LAST
    for step, now in enumerate(pieces(window)):
        weighted = Window(window.first, window.inputs, Question(window.targets, jnp.eye(STEPS)[step : step + 1]))
        mean = STEPS * flat(gradient(exact, last, model, exact.init(last, model, weighted), weighted, key)[0])
        signal[step] = np.sum(mean**2)
        for index in range(RUNS):
            drawn, carries[index] = gradient(UORO(), STEP, model, carries[index], now, keys[step, index])
            noise[step] += np.sum((flat(drawn) - mean) ** 2) / RUNS
    return noise, signal


@functools.cache
def along(seed=0):
    key = jax.random.key(seed)
    return variance.along_stream(TASK, UORO(), stream(key)[0], key, RUNS, STEPS)


def test_variance_along_a_stream_is_that_of_a_loop_against_bptt_over_the_past(key):
    for ours, plain in zip(along(), in_a_loop(key, BPTT()), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-6, atol=1e-12)


def test_control_truncated_gradient_is_another(key):
    for ours, other in zip(along(), in_a_loop(key, TBPTT(1)), strict=True):
        assert np.abs(other / ours - 1)[1:].max() > 1e-3


def of_two_steps(key):
    """The loss of the second of two steps, of which (c·ν)(ν·G) estimates c·G, with c = ∂ℓ/∂s and G = ∂s/∂θ.

    Its variance is |c|² |G|² + |c·G|² − 2 Σₖ cₖ² |Gₖ|², from E νᵢ νⱼ νₖ νₗ, whatever normalises the two factors.
    """
    model, window = stream(key, 2)
    first, second = (jax.tree.map(lambda leaf, at=at: leaf[0, at], window) for at in (0, 1))
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)

    def state_of(parameters):
        model = eqx.combine(parameters, rest)
        return STEP(model, model.memory.initial(), first)[0]

    state = state_of(parameters)
    units = sum(leaf.size for leaf in jax.tree.leaves(state))
    jacobian = jax.jacobian(state_of)(parameters)
    moved = jnp.concatenate([leaf.reshape(units, -1) for leaf in jax.tree.leaves(jacobian)], axis=1)
    credit = flat(jax.grad(lambda state: STEP(model, state, second)[1][0])(state))
    direct = flat(eqx.filter_grad(lambda model: STEP(model, state, second)[1][0])(model))
    towards, squares = credit @ moved, credit**2 @ jnp.sum(moved**2, axis=1)
    noise = jnp.sum(credit**2) * jnp.sum(moved**2) + jnp.sum(towards**2) - 2 * squares
    return noise / jnp.sum((direct + towards) ** 2)


def test_variance_of_two_steps_is_the_closed_form(key):
    model, window = stream(key, 2)
    found = variance.relative_variance(UORO(), variance.LAST, model, variance.only_last(window), key, 20_000)
    assert found == pytest.approx(float(of_two_steps(key)), rel=0.05)


def test_control_variance_with_the_first_loss_is_another(key):
    model, window = stream(key, 2)
    found = variance.relative_variance(UORO(), STEP, model, window, key, 20_000)
    assert found != pytest.approx(float(of_two_steps(key)), rel=0.1)


@pytest.mark.parametrize("begun", [0, 10])
def test_stationarity_is_the_ratio_of_sums(begun, monkeypatch):
    noise, signal = np.arange(1.0, 31), np.where(np.arange(30) % 7, 1e-9, 2.0)
    monkeypatch.setattr(variance, "along_stream", lambda *_: (noise[begun:], signal[begun:]))
    with jax.numpy_dtype_promotion("standard"):
        words = {"task": "Recall(3)", "cell": "GRU(4)", "batch_size": 2, "window": 2}
        program = configure("supervised", **words, seed=5).program()
        run = LoadedRun(program, program.init(), {"update": 2})
        rows = variance.stationarity(run, TASK, RUNS, 30, begun)
    for row, part in zip(rows, (slice(10), slice(10, 20), slice(20, 30))[begun // 10 :], strict=True):
        relative = pytest.approx(noise[part].sum() / signal[part].sum())
        assert row == {"seed": 5, "step": 8, "characters": part.stop, variance.RELATIVE.name: relative}
    assert variance.bins(1000) == [10, 20, 50, 100, 200, 500, 1000]


def test_stream_is_read_from_where_it_is_begun(key):
    model, window = stream(key, 2)
    *_, second = pieces(window)
    alone, _ = gradient(BPTT(), STEP, model, BPTT().init(STEP, model, second), second, key)
    noise, signal = variance.along_stream(TASK, UORO(), model, key, RUNS, 3, begun=1)
    assert noise.shape == signal.shape == (3,)
    assert signal[0] == pytest.approx(np.sum(flat(alone) ** 2))


def test_width_is_measured_once(tmp_path, monkeypatch):
    found = itertools.count()
    monkeypatch.setattr(variance, "relative_variance", lambda *_: next(found))
    case = variance.by_width((2, 3), 2, RUNS)[0]
    place = Place(tmp_path / "case", lambda title: pytest.fail("nothing is trained"))
    rows = case.measure(place).rows
    metric = variance.RELATIVE.name
    assert [(row["units"], row["seed"], row[metric]) for row in rows] == [(2, 0, 0), (2, 1, 1), (3, 0, 2), (3, 1, 3)]
    assert case.measure(place).rows == rows
    (place.home / "2-units.json").unlink()
    assert [row[metric] for row in case.measure(place).rows] == [4, 5, 2, 3]
