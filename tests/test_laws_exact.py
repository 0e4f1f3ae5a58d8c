"""Exact estimators equal BPTT over the whole past, for every cell and stack."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from tables import (
    CELLS,
    DIAGONAL,
    FROZEN,
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
from tiers import slow_except

from farback import AbstractStep, Carry, NetworkStep, Window
from farback.estimators import ARTBP, BPTT, KFRTRL, RTRL, TBPTT, UORO, SnAp
from farback.estimators.rtrl import is_diagonal

MODELS = CELLS | STACKS | FROZEN
A_FEW = ["Elman", "GRU", "LSTM", "LRU", "GTrXL", "DeltaNet", "WeightNorm", "GRU-LSTM", "Frozen-GRU"]
STEP = NetworkStep(squared_error)


def compare(estimator, model, windows, whole, step=STEP, key=None):
    """The largest relative distance of an estimator's gradient from that of BPTT over the whole window."""
    key = jax.random.key(7) if key is None else key
    exact, exact_loss = gradient_over(BPTT(), step, model, [whole], key)
    gradient, loss = gradient_over(estimator, step, model, windows, key)
    assert jnp.allclose(loss, exact_loss, rtol=1e-12)
    return max(distances(gradient, exact).values())


@pytest.mark.parametrize("name", slow_except(["GRU", "LRU", "GRU-LSTM"], MODELS))
def test_rtrl_equals_bptt_over_consecutive_windows(name, key):
    model, window = model_of(MODELS[name], key), random_window(key)
    assert compare(RTRL(), model, pieces(window, 3), window) < 1e-10


class DictStep(AbstractStep):
    """A step whose model is a dictionary."""

    def encoder(self, model):
        return model["encoder"]

    def encode(self, model, data):
        return jnp.tanh(model["encoder"](data.inputs))

    def memory(self, model):
        return model["memory"]

    def loss(self, model, output, data):
        return squared_error(model["head"](output), data.targets)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GRU", "LRU", "GRU-LSTM"])
def test_rtrl_and_uoro_equal_bptt_with_a_step_of_your_own(name, key):
    network, window = model_of(MODELS[name], key), random_window(key)
    model = {"encoder": eqx.nn.Linear(3, 3, key=key), "memory": network.memory, "head": network.head}
    assert compare(RTRL(), model, pieces(window, 2), window, DictStep()) < 1e-10
    assert compare(UORO(memory=6), model, [window], window, DictStep()) < 1e-10


def test_rtrl_has_the_gradient_of_the_reset_gate_and_of_the_head(key):
    """Some libraries give exactly zero for these gradients."""
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)
    gradient, _ = gradient_over(RTRL(), STEP, model, pieces(window, 1), key)
    for tree in (exact, gradient):
        assert jnp.linalg.norm(tree.memory.input_weight[:, 0]) > 1e-4
        assert jnp.linalg.norm(tree.memory.state_weight[:, 0]) > 1e-4
        assert jnp.linalg.norm(tree.memory.bias[0]) > 1e-4
        assert jnp.linalg.norm(tree.head.weight) > 1e-4
    for pick in (lambda tree: tree.memory.input_weight[:, 0], lambda tree: tree.memory.state_weight[:, 0]):
        assert jnp.allclose(pick(gradient), pick(exact), rtol=1e-10)


@pytest.mark.parametrize("name", slow_except(["DeltaNet"], ["GRU", "LSTM", "LRU", "GTrXL", "DeltaNet", "GRU-LSTM"]))
def test_rtrl_equals_bptt_where_only_the_last_step_has_a_loss(name, key):
    model, window = model_of(MODELS[name], key), random_window(key, resets=False)
    weight = jnp.zeros(window.first.shape).at[:, -1].set(1.0)
    window = Window(window.first, window.inputs, (window.targets, weight))
    assert compare(RTRL(), model, pieces(window, 1), window, NetworkStep(last_step_error)) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GRU", "LSTM-Elman-GRU"])
def test_every_estimator_equals_bptt_at_the_first_step(name, key):
    """Traces are empty at the first step."""
    model, window = model_of(MODELS[name], key), random_window(key, steps=1)
    # The initial state is zero, so the recurrent weights have no gradient yet: compare absolutely.
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)
    estimators = [RTRL(), UORO(), SnAp(), ARTBP(3), TBPTT(1)] + ([KFRTRL()] if name == "GRU" else [])
    for estimator in estimators:
        gradient, _ = gradient_over(estimator, STEP, model, [window], key)
        assert all(
            jnp.allclose(leaf, reference, atol=1e-12)
            for leaf, reference in zip(jax.tree.leaves(gradient), jax.tree.leaves(exact), strict=True)
        )


@pytest.mark.parametrize("name", slow_except(["LSTM"], [*A_FEW, *MEMORYLESS]))
def test_uoro_equals_bptt_if_its_memory_is_the_window(name, key):
    model, window = model_of((MODELS | MEMORYLESS)[name], key), random_window(key)
    assert compare(UORO(memory=6), model, [window], window) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize(("name", "steps"), [("GRU", 7), ("GRU", 12), ("LSTM-Elman-GRU", 7)])
def test_segmented_bptt_equals_bptt(name, steps, key):
    model, window = model_of(MODELS[name], key), random_window(key, steps=steps)
    assert compare(BPTT(segmented=True), model, [window], window) < 1e-10


@pytest.mark.parametrize("name", slow_except(["LSTM"], A_FEW))
def test_tbptt_equals_bptt_of_its_pieces(name, key):
    model, window = model_of(MODELS[name], key), random_window(key)
    in_pieces, _ = gradient_over(BPTT(), STEP, model, pieces(window, 2), key)
    truncated, _ = gradient_over(TBPTT(2), STEP, model, [window], key)
    assert max(distances(truncated, in_pieces).values()) < 1e-10


@pytest.mark.parametrize("name", slow_except(["RTU"], [*DIAGONAL, "Frozen-LRU"]))
def test_rtrl_of_a_diagonal_cell_has_a_small_trace_and_equals_snap(name, key):
    model, window = model_of(MODELS[name], key), random_window(key)
    assert is_diagonal(STEP, model, window)
    assert compare(SnAp(), model, pieces(window, 1), window) < 1e-10
    parameters = flat(eqx.filter(model, eqx.is_inexact_array)).size
    states = len(jax.tree.leaves(model.memory.initial()))
    assert flat(RTRL().init(STEP, model, window).trace).size <= 2 * states * parameters  # of 2 examples


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Elman", "GRU", "LRU", "GTrXL", "DeltaNet"])
def test_float32_keeps_five_digits(name, key):
    model, window = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf,
        (model_of(CELLS[name], key), random_window(key)),
    )
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)
    gradient, _ = gradient_over(RTRL(), STEP, model, [window], key)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(gradient))
    assert max(distances(gradient, exact).values()) < 1e-5
    for estimator in (UORO(), UORO(memory=6), ARTBP(3)):
        gradient, _ = eqx.filter_eval_shape(gradient_over, estimator, STEP, model, [window], key)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(gradient))


def test_rtrl_has_no_trace_of_the_head(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    trace = RTRL().init(STEP, model, window).trace
    assert jax.tree.leaves(trace.head) == []
    assert len(jax.tree.leaves(trace.memory)) == 3


# Negative controls: each breaks the law that a test above states.


def test_control_tbptt_is_biased(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key, resets=False)
    assert compare(TBPTT(2), model, [window], window) > 1e-3


@pytest.mark.parametrize("reset_trace", [True, False])
def test_control_rtrl_is_biased_if_its_trace_is_not_reset(reset_trace, key):
    """The state is reset by hand, so the values are right whether or not the trace is reset."""
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


def test_control_snap_is_biased_for_dense_cells_and_stacks(key):
    for name in ("GRU", "GRU-GRU"):
        model, window = model_of(MODELS[name], key), random_window(key, resets=False)
        assert compare(SnAp(), model, [window], window) > 1e-3
        assert not is_diagonal(STEP, model, window)
