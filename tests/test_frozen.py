"""`Frozen` and `FrozenEncoder` have the outputs of what they wrap, no parameters, and no gradient."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
from tables import CELLS, FROZEN, INPUTS, flat, gradient_over, model_of, pieces, random_window, squared_error

from farback import Network, NetworkStep, ReadoutNetwork, Supervised
from farback.cell import unroll
from farback.cells import GRU, LRU, LSTM, Chain, Frozen, FrozenEncoder, SkipConcat
from farback.estimators import ARTBP, BPTT, KFRTRL, RTRL, TBPTT, UORO, SnAp
from farback.estimators.rtrl import is_diagonal
from farback.tasks import Recall

pytestmark = pytest.mark.slow

STEP = NetworkStep(squared_error)


def parameters(tree):
    return jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))


@pytest.mark.parametrize("name", ["GRU", "LSTM", "LRU", "GTrXL"])
def test_frozen_has_the_outputs_of_its_cell(name, key):
    cell = CELLS[name](key)
    frozen = Frozen(cell)
    x = jax.random.normal(key, (7, 2, INPUTS))
    first, flow = jnp.zeros((7, 2), bool).at[4].set(True), jnp.ones((7, 2))
    state = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (2, *leaf.shape)), cell.initial())
    for found, expected in (
        (frozen(frozen.initial(), x[0, 0]), cell(cell.initial(), x[0, 0])),
        (unroll(frozen, state, first, x, flow), unroll(cell, state, first, x, flow)),
    ):
        assert jnp.array_equal(flat(found), flat(expected))
    assert eqx.tree_equal(frozen.cell, cell)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64])
def test_frozen_keeps_every_bit(dtype, key):
    cell = jax.tree.map(lambda leaf: leaf.astype(dtype), GRU(INPUTS, 4, key=key))
    assert eqx.tree_equal(Frozen(cell).cell, cell)


def test_frozen_has_no_parameters(key):
    assert parameters(GRU(INPUTS, 4, key=key))
    assert parameters(Frozen(GRU(INPUTS, 4, key=key))) == []
    assert parameters(FrozenEncoder(eqx.nn.Linear(INPUTS, 2, key=key))) == []


def test_frozen_passes_no_gradient(key):
    x, frozen = jax.random.normal(key, (INPUTS,)), Frozen(GRU(INPUTS, 4, key=key))
    state = jax.tree.map(jnp.ones_like, frozen.initial())
    encoder = FrozenEncoder(eqx.nn.Linear(INPUTS, 2, key=key))
    for function, at in ((lambda x: frozen(state, x), x), (lambda s: frozen(s, x), state), (encoder, x)):
        gradient = jax.grad(lambda at, function=function: jnp.sum(flat(function(at)) ** 2))(at)
        assert not jnp.any(gradient)
    learning = GRU(INPUTS, 4, key=key)
    assert jnp.any(jax.grad(lambda x: jnp.sum(learning(state, x)[1] ** 2))(x))


def test_frozen_encoder_has_the_features_of_its_encoder(key):
    encoder, x = eqx.nn.Linear(INPUTS, 2, key=key), jax.random.normal(key, (INPUTS,))
    assert jnp.array_equal(FrozenEncoder(encoder)(x), encoder(x))


@pytest.mark.parametrize("name", ["Frozen-GRU", "SkipConcat-Frozen-GRU"])
@pytest.mark.parametrize("estimator", [TBPTT(2), ARTBP(3), RTRL(), UORO(), KFRTRL(), SnAp()], ids=str)
def test_every_estimator_serves_a_cell_behind_a_frozen_one(estimator, name, key):
    model, window = model_of(FROZEN[name], key), random_window(key)
    gradient, loss = gradient_over(estimator, STEP, model, pieces(window, 2), key)
    exact, exact_loss = gradient_over(BPTT(), STEP, model, [window], key)
    assert jnp.allclose(loss, exact_loss, rtol=1e-12)
    assert jax.tree.structure(gradient) == jax.tree.structure(exact)
    assert jnp.all(jnp.isfinite(flat(gradient)))
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient))


def test_rtrl_trace_of_a_diagonal_cell_behind_a_frozen_one_stays_small(key):
    """The frozen cell's state has no trace, so the trace of the diagonal cell stays small."""
    lru = LRU(4, 5, key=key)
    head = eqx.nn.Linear(5, 2, key=key)
    window = random_window(key)
    model = Network(eqx.nn.Identity(), Chain(Frozen(GRU(INPUTS, 4, key=key)), lru), head)
    assert is_diagonal(STEP, model, window)
    learning = Network(eqx.nn.Identity(), Chain(GRU(INPUTS, 4, key=key), lru), head)
    assert not is_diagonal(STEP, learning, window)
    small, large = (flat(RTRL().init(STEP, each, window).trace).size for each in (model, learning))
    recurrent = flat((lru.ring, lru.gamma_log, lru.input_weight)).size
    # 2 examples, and for each parameter the real and the imaginary part of its unit's state.
    assert small == 2 * 2 * recurrent
    assert large > 5 * small


def test_frozen_encoder_is_no_encoder_to_rtrl(key):
    encoder = eqx.nn.Linear(INPUTS, INPUTS, key=key)
    window, cell, head = random_window(key), LRU(INPUTS, 4, key=key), eqx.nn.Linear(4, 2, key=key)
    assert is_diagonal(STEP, Network(FrozenEncoder(encoder), cell, head), window)
    assert not is_diagonal(STEP, Network(encoder, cell, head), window)
    model = Network(FrozenEncoder(encoder), cell, head)
    found, exact = (gradient_over(each, STEP, model, [window], key)[0] for each in (RTRL(), BPTT()))
    assert jnp.allclose(flat(found), flat(exact), rtol=1e-9)


@pytest.mark.parametrize("estimator", [BPTT(), RTRL()], ids=str)
def test_training_leaves_a_frozen_part_as_it_was(estimator, key):
    def cell(inputs, *, key):
        return Chain(SkipConcat(Frozen(LSTM(inputs, 3, key=key))), GRU(inputs + 3, 4, key=key))

    algorithm = Supervised(Recall(2), ReadoutNetwork(cell), estimator, optax.adam(1e-2), 2, 3)
    with jax.numpy_dtype_promotion("standard"):
        state = eqx.filter_jit(algorithm.init)(key)
        trained, _ = algorithm.train(state, 3)
    before, after = (each.network.memory.layers for each in (state, trained))
    assert eqx.tree_equal(before[0], after[0])
    assert not jnp.allclose(flat(before[1]), flat(after[1]))


def test_frozen_serves_seeds_that_are_a_batch_axis(key):
    """Its bits are ordinary arrays."""
    keys = jax.random.split(key, 3)
    make = functools.partial(GRU, INPUTS, 4)
    frozen = eqx.filter_vmap(lambda key: Frozen(make(key=key)))(keys)
    x = jnp.ones(INPUTS)
    found = eqx.filter_vmap(lambda frozen: frozen(frozen.initial(), x)[1])(frozen)
    expected = jnp.stack([make(key=one)(jnp.zeros(4), x)[1] for one in keys])
    assert jnp.allclose(found, expected, rtol=1e-12)
