"""Laws of the exact estimators, over all cells and stacks: what is exact equals BPTT over the whole past."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from tables import (
    CELLS,
    DIAGONAL,
    MEMORYLESS,
    STACKS,
    distances,
    flat,
    gradient_over,
    last_step_error,
    model_of,
    pieces,
    random_window,
    squared_error,
)

from engram import ARTBP, BPTT, KFRTRL, RTRL, TBPTT, UORO, AbstractStep, Carry, SnAp, Supervised, Window
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


class Coded(AbstractStep):
    """A step whose encoder and readout have parameters of their own, beside those of the memory."""

    def encode(self, model, data):
        return jnp.tanh(model["encoder"](data.inputs))

    def memory(self, model):
        return model["memory"]

    def charge(self, model, output, data):
        return squared_error(model["readout"](output), data.targets)


@pytest.mark.parametrize("name", ["GRU", "LRU", "GRU-LSTM"])
def test_parameters_of_the_encoder_and_of_the_readout(name, key):
    model, window = model_of(MODELS[name], key), random_window(key)
    encoder, readout = (eqx.nn.Linear(size, size, key=key) for size in (3, 2))
    model = {"encoder": encoder, "memory": model, "readout": readout}
    assert compare(RTRL(), model, pieces(window, 2), window, Coded()) < 1e-10
    assert compare(UORO(memory=6), model, [window], window, Coded()) < 1e-10


def test_the_reset_gate_and_the_readout_have_their_gradient(key):
    """Where other libraries give exactly zero."""
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)
    gradient, _ = gradient_over(RTRL(), STEP, model, pieces(window, 1), key)
    for tree in (exact, gradient):
        cell, readout = tree.layers
        assert jnp.linalg.norm(cell.input_weight[:, 0]) > 1e-4
        assert jnp.linalg.norm(cell.state_weight[:, 0]) > 1e-4
        assert jnp.linalg.norm(cell.bias[0]) > 1e-4
        assert jnp.linalg.norm(readout.layer.weight) > 1e-4
    for pick in (lambda t: t.layers[0].input_weight[:, 0], lambda t: t.layers[0].state_weight[:, 0]):
        assert jnp.allclose(pick(gradient), pick(exact), rtol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_a_loss_at_the_end_alone(name, key):
    model, window = model_of(MODELS[name], key), random_window(key, resets=False)
    charged = jnp.zeros(window.first.shape).at[:, -1].set(1.0)
    window = Window(window.first, window.inputs, (window.targets, charged))
    assert compare(RTRL(), model, pieces(window, 1), window, Supervised(last_step_error)) < 1e-10


@pytest.mark.parametrize("name", ["GRU", "LSTM-Elman-GRU"])
def test_the_first_step_where_traces_are_empty(name, key):
    model, window = model_of(MODELS[name], key), random_window(key, steps=1)
    # Where the state is zero, the recurrent weights have no gradient yet: compare absolutely.
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)
    estimators = [RTRL(), UORO(), SnAp(), ARTBP(3), TBPTT(1)] + ([KFRTRL()] if name == "GRU" else [])
    for estimator in estimators:
        gradient, _ = gradient_over(estimator, STEP, model, [window], key)
        assert all(
            jnp.allclose(leaf, reference, atol=1e-12)
            for leaf, reference in zip(jax.tree.leaves(gradient), jax.tree.leaves(exact), strict=True)
        )


@pytest.mark.parametrize("name", [*MODELS, *MEMORYLESS])
def test_uoro_with_memory_for_the_whole_window_is_bptt(name, key):
    model, window = model_of((MODELS | MEMORYLESS)[name], key), random_window(key)
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
def test_in_float32_five_digits_are_kept(name, key):
    model, window = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf,
        (model_of(CELLS[name], key), random_window(key)),
    )
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)
    gradient, _ = gradient_over(RTRL(), STEP, model, [window], key)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(gradient))
    assert max(distances(gradient, exact).values()) < 1e-5
    for estimator in (UORO(), UORO(memory=6), ARTBP(3)):
        gradient, _ = gradient_over(estimator, STEP, model, [window], key)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(gradient))


def test_a_parameter_that_cannot_move_the_state_has_no_trace(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    trace = RTRL().init(STEP, model, window).trace
    assert jax.tree.leaves(trace.layers[1]) == []
    assert len(jax.tree.leaves(trace.layers[0])) == 3


# Negative controls: each of these must break the law that the test above it states.


def test_control_truncation_is_not_exact(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key, resets=False)
    assert compare(TBPTT(2), model, [window], window) > 1e-3


@pytest.mark.parametrize("reset_trace", [True, False])
def test_control_a_trace_that_misses_the_reset_is_not_exact(reset_trace, key):
    """The state is reset by hand, so the values are right, and the trace with it, or not."""
    model, window = model_of(CELLS["GRU"], key), random_window(key, batch=1)
    exact, exact_loss = gradient_over(BPTT(), STEP, model, [window], key)
    fresh = RTRL().init(STEP, model, window)
    carry, total, loss = fresh, 0.0, 0.0
    for now in pieces(window, 1):
        if now.first[0, 0]:
            carry = Carry(fresh.state, fresh.trace if reset_trace else carry.trace)
        never = eqx.tree_at(lambda window: window.first, now, jnp.zeros_like(now.first))
        gradient, carry, outcome = RTRL().gradient(STEP, model, carry, never, key)
        total, loss = total + flat(gradient) / 6, loss + outcome.loss / 6
    assert jnp.allclose(loss, exact_loss, rtol=1e-12)
    assert jnp.allclose(total, flat(exact), rtol=1e-8) == reset_trace


def test_control_local_traces_are_not_exact_for_dense_cells_or_stacks(key):
    for name in ("GRU", "GRU-GRU"):
        model, window = model_of(MODELS[name], key), random_window(key, resets=False)
        assert compare(SnAp(), model, [window], window) > 1e-3
        assert not is_diagonal(STEP, model, window)
