"""Laws of the exact estimators, over all cells and stacks: what is exact equals BPTT over the whole past."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from tables import (
    CELLS,
    DIAGONAL,
    STACKS,
    distances,
    gradient_over,
    last_step_error,
    model_of,
    pieces,
    random_window,
    squared_error,
)

from engram import BPTT, RTRL, TBPTT, UORO, SnAp, Supervised, Window
from engram.estimators.rtrl import is_diagonal

MODELS = CELLS | STACKS
STEP = Supervised(squared_error)


def compare(estimator, model, windows, whole, step=STEP, key=None):
    key = jax.random.key(7) if key is None else key
    exact, exact_loss = gradient_over(BPTT(), step, model, [whole], key)
    gradient, loss = gradient_over(estimator, step, model, windows, key)
    assert jnp.allclose(loss, exact_loss, rtol=1e-12)
    return max(distances(gradient, exact).values())


@pytest.mark.parametrize("name", MODELS)
def test_rtrl_over_chained_windows_is_bptt(name, key):
    model, window = model_of(MODELS[name], key), random_window(key)
    assert compare(RTRL(), model, pieces(window, 3), window) < 1e-10


@pytest.mark.parametrize("name", CELLS)
def test_a_loss_at_the_end_alone(name, key):
    model, window = model_of(CELLS[name], key), random_window(key, resets=0.0)
    charged = jnp.zeros(window.first.shape).at[:, -1].set(1.0)
    window = Window(window.first, window.inputs, (window.targets, charged))
    assert compare(RTRL(), model, pieces(window, 1), window, Supervised(last_step_error)) < 1e-10


@pytest.mark.parametrize("name", ["GRU", "LSTM-Elman-GRU"])
def test_the_first_step_where_traces_are_empty(name, key):
    model, window = model_of(MODELS[name], key), random_window(key, steps=1)
    # Where the state is zero, the recurrent weights have no gradient yet: compare absolutely.
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)
    for estimator in (RTRL(), UORO(), SnAp()):
        gradient, _ = gradient_over(estimator, STEP, model, [window], key)
        assert all(
            jnp.allclose(leaf, reference, atol=1e-12)
            for leaf, reference in zip(jax.tree.leaves(gradient), jax.tree.leaves(exact), strict=True)
        )


@pytest.mark.parametrize("name", MODELS)
def test_uoro_with_memory_for_the_whole_window_is_bptt(name, key):
    model, window = model_of(MODELS[name], key), random_window(key)
    assert compare(UORO(memory=6), model, [window], window) < 1e-10


@pytest.mark.parametrize("name", ["GRU", "LSTM-Elman-GRU"])
@pytest.mark.parametrize("steps", [6, 7, 12])
def test_segmented_bptt_is_bptt(name, steps, key):
    model, window = model_of(MODELS[name], key), random_window(key, steps=steps)
    assert compare(BPTT(segmented=True), model, [window], window) < 1e-10


@pytest.mark.parametrize("name", MODELS)
def test_truncated_bptt_is_bptt_of_its_pieces(name, key):
    model, window = model_of(MODELS[name], key), random_window(key)
    in_pieces, _ = gradient_over(BPTT(), STEP, model, pieces(window, 2), key)
    truncated, _ = gradient_over(TBPTT(2), STEP, model, [window], key)
    assert max(distances(truncated, in_pieces).values()) < 1e-10


@pytest.mark.parametrize("name", DIAGONAL)
def test_where_units_never_meet_the_trace_is_small_and_exact(name, key):
    model, window = model_of(CELLS[name], key), random_window(key)
    assert is_diagonal(STEP, model, window)
    assert compare(SnAp(), model, pieces(window, 1), window) < 1e-10
    parameters = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))
    states = len(jax.tree.leaves(model.initial()))
    assert sum(leaf[0].size for leaf in jax.tree.leaves(RTRL().init(STEP, model, window).trace)) <= states * parameters


@pytest.mark.parametrize("name", CELLS)
def test_float32_keeps_six_digits(name, key):
    model, window = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf,
        (model_of(CELLS[name], key), random_window(key)),
    )
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)
    gradient, _ = gradient_over(RTRL(), STEP, model, [window], key)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(gradient))
    assert max(distances(gradient, exact).values()) < 1e-5


def test_a_parameter_that_cannot_move_the_state_has_no_trace(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    trace = RTRL().init(STEP, model, window).trace
    assert jax.tree.leaves(trace.layers[1]) == []
    assert len(jax.tree.leaves(trace.layers[0])) == 3


# Negative controls: each of these must break the law that the test above it states.


def test_control_truncation_is_not_exact(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key, resets=0.0)
    assert compare(TBPTT(2), model, [window], window) > 1e-3


def test_control_a_trace_that_misses_the_reset_is_not_exact(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    never = eqx.tree_at(lambda window: window.first, window, jnp.zeros_like(window.first))
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)
    gradient, _ = gradient_over(RTRL(), STEP, model, [never], key)
    assert max(distances(gradient, exact).values()) > 1e-3


def test_control_local_traces_are_not_exact_for_dense_cells_or_stacks(key):
    for name in ("GRU", "GRU-GRU"):
        model, window = model_of(MODELS[name], key), random_window(key, resets=0.0)
        assert compare(SnAp(), model, [window], window) > 1e-3
        assert not is_diagonal(STEP, model, window)
