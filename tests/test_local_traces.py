"""SnAp(1) and RFLO equal the definitions of their papers, computed densely."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax.flatten_util import ravel_pytree
from tables import CELLS, distances, flat, gradient_over, model_of, random_window, squared_error

from farback import NetworkStep
from farback.cell import reset
from farback.cells import Chain, Elman, Leaky
from farback.estimators import BPTT, RFLO, TBPTT, SnAp

pytestmark = pytest.mark.slow

STEP = NetworkStep(squared_error)


@eqx.filter_jit
def masked_rtrl(model, window):
    """RTRL of one cell and a head, whose influence matrix is masked to the unit that a parameter feeds.

    A unit is every number of the state with its index: h and c of an LSTM.
    """
    cell, head = model.memory, model.head
    flat_cell, build = ravel_pytree(cell)

    def advance(theta, state, x, first):
        cell = build(theta)
        return ravel_pytree(cell(reset(cell, rebuild(state), first), x)[0])[0]

    def loss(state, target):
        return squared_error(head(cell.hidden(rebuild(state))), target)[0]

    total = 0.0
    for row in range(window.first.shape[0]):
        state, rebuild = ravel_pytree(cell.initial())
        influence = jnp.zeros((state.size, flat_cell.size))
        for t in range(window.first.shape[1]):
            x, first, target = window.inputs[row, t], window.first[row, t], window.targets[row, t]
            j, m = jax.jacobian(advance, argnums=(1, 0))(flat_cell, state, x, first)
            # The pattern: the units that a parameter moves in one step, at a generic state.
            feeds = jax.jacobian(advance)(flat_cell, jnp.full_like(state, 0.37), x + 0.1, jnp.array(False)) != 0
            units = jnp.any(feeds.reshape(-1, 4, flat_cell.size), axis=0)
            pattern = jnp.tile(units, (state.size // 4, 1))
            new = jnp.where(pattern, j @ influence + m, 0.0)
            state = advance(flat_cell, state, x, first)
            total = total + jax.grad(loss)(state, target) @ new
            influence = new
    return total / window.first.size


@pytest.mark.parametrize("name", ["Elman", "Leaky", "Gated", "GRU", "LSTM"])
def test_snap_equals_masked_rtrl(name, key):
    model, window = model_of(CELLS[name], key), random_window(key, steps=4)
    gradient, _ = gradient_over(SnAp(), STEP, model, [window], key)
    assert jnp.allclose(flat(gradient.memory), masked_rtrl(model, window), rtol=1e-9, atol=1e-12)


def test_rflo_of_an_elman_cell_equals_tbptt_of_one_step(key):
    model, window = model_of(CELLS["Elman"], key), random_window(key)
    gradient, _ = gradient_over(RFLO(), STEP, model, [window], key)
    truncated, _ = gradient_over(TBPTT(1), STEP, model, [window], key)
    assert max(distances(gradient, truncated).values()) < 1e-10


def test_rflo_of_a_leaky_cell_equals_murrays_recursion(key):
    """B′_ij = (1 − α_i) B_ij + α_i tanh′(u_i) ĥ_j, and ∇U_ij = Σ_t q_i B_ij, with q the true feedback."""
    model = model_of(CELLS["Leaky"], key)
    window = random_window(key, batch=1, resets=False)
    cell, head = model.memory, model.head
    alpha = jax.nn.sigmoid(cell.bias[1])
    h, b, expected = cell.initial(), jnp.zeros((4, 4)), jnp.zeros((4, 4))
    for x, target in zip(window.inputs[0], window.targets[0], strict=True):
        u = x @ cell.input_weight[:, 0] + h @ cell.state_weight[:, 0] + cell.bias[0]
        b = (1 - alpha)[None] * b + h[:, None] * (alpha * (1 - jnp.tanh(u) ** 2))[None]
        h = alpha * jnp.tanh(u) + (1 - alpha) * h
        q = 2 * (head(h) - target) @ head.weight
        expected = expected + q[None] * b
    gradient, _ = gradient_over(RFLO(), STEP, model, [window], key)
    assert jnp.allclose(gradient.memory.state_weight[:, 0], expected / 6, rtol=1e-10)


@pytest.mark.parametrize("estimator", [SnAp(), RFLO()], ids=str)
def test_snap_and_rflo_have_the_loss_of_bptt(estimator, key):
    model, window = model_of(lambda key: Leaky(3, 4, key=key), key), random_window(key)
    _, loss = gradient_over(estimator, STEP, model, [window], key)
    _, exact = gradient_over(BPTT(), STEP, model, [window], key)
    assert jnp.allclose(loss, exact, rtol=1e-12)


def test_snap_passes_credit_between_layers_within_the_step(key):
    """In a stack, the head has its exact gradient, and the lower layer has a gradient."""
    lower, upper = (Elman(3, 3, key=jax.random.fold_in(key, i)) for i in range(2))
    model, window = model_of(lambda key: Chain(lower, upper), key), random_window(key)
    gradient, _ = gradient_over(SnAp(), STEP, model, [window], key)
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)
    assert max(distances(gradient.head, exact.head).values()) < 1e-10
    assert jnp.any(flat(gradient.memory.layers[0]) != 0)
