"""A window may begin at a stored memory: `estimator.init(step, network, window, state=stored)`."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from tables import CELLS, STACKS, distances, flat, model_of, pieces, random_window, squared_error

from farback import Carry, InputError, NetworkStep, Window
from farback.cell import unroll
from farback.estimators import ARTBP, BPTT, KFRTRL, RFLO, RTRL, TBPTT, UORO, Sharded, SnAp

pytestmark = pytest.mark.slow

STEP = NetworkStep(squared_error)
ESTIMATORS = [BPTT(), TBPTT(1), ARTBP(3), RTRL(), UORO(), UORO(memory=3), KFRTRL(), SnAp(), Sharded(BPTT(), 2)]
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)


@eqx.filter_jit
def gradient_from(estimator, model, carry, window, key):
    return estimator.gradient(STEP, model, carry, window, key)


@eqx.filter_jit
def stored_before(model, window, steps):
    """The state of the memory after the first steps of a window, and the window after them."""
    x = jnp.swapaxes(window.inputs, 0, 1)[:steps]
    flow = jnp.ones((steps, len(window.first)))
    state, _ = unroll(model.memory, STEP.initial(model, len(window.first)), window.first.T[:steps], x, flow)
    return state, jax.tree.map(lambda leaf: leaf[:, steps:], window)


def loss_from(state, model, window):
    """The mean loss of a window from a state, step by step."""

    def one(state, data):
        return jax.vmap(lambda state, data: STEP(model, state, data))(state, data)

    window = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), window)
    return jnp.mean(jax.lax.scan(one, state, window)[1][0])


@pytest.mark.parametrize("name", ["GRU", "LSTM", "LRU", "GTrXL", "DeltaNet", "LSTM-Elman-GRU"])
@pytest.mark.parametrize("estimator", [BPTT(), RTRL(), UORO(memory=3)], ids=str)
def test_exact_gradient_from_a_stored_state(estimator, name, key):
    model = model_of((CELLS | STACKS)[name], key)
    state, window = stored_before(model, random_window(key, resets=False), 3)
    carry = estimator.init(STEP, model, window, state=state)
    gradient, after, outcome = gradient_from(estimator, model, carry, window, key)
    loss, exact = eqx.filter_jit(eqx.filter_value_and_grad(lambda model: loss_from(state, model, window)))(model)
    assert jnp.allclose(outcome.loss, loss, rtol=1e-12)
    assert max(distances(gradient, exact).values()) < 1e-10
    assert jnp.allclose(flat(after.state), flat(stored_before(model, random_window(key, resets=False), 6)[0]), rtol=1e-10)


@each_estimator
def test_init_from_a_stored_state_holds_that_state(estimator, key):
    """The rest of the carry is as at the beginning of an episode."""
    model = model_of(CELLS["GRU"], key)
    state, window = stored_before(model, random_window(key, resets=False), 3)
    stored, fresh = (estimator.init(STEP, model, window, state=at) for at in (state, None))
    assert jnp.array_equal(stored.state, state)
    assert not jnp.any(flat(stored.trace))
    assert jax.tree.structure(stored) == jax.tree.structure(fresh)
    gradient, _, _ = gradient_from(estimator, model, stored, window, key)
    other, _, _ = gradient_from(estimator, model, Carry(state, fresh.trace), window, key)
    assert jnp.array_equal(flat(gradient), flat(other))


def test_stored_state_does_not_matter_where_an_episode_begins(key):
    model = model_of(CELLS["LSTM"], key)
    state, window = stored_before(model, random_window(key, resets=False), 3)
    begun = Window(window.first.at[:, 0].set(True), window.inputs, window.targets)
    for now, same in ((begun, True), (window, False)):
        carries = [BPTT().init(STEP, model, now, state=at) for at in (state, None)]
        found = [flat(gradient_from(BPTT(), model, carry, now, key)[0]) for carry in carries]
        assert jnp.array_equal(*found) == same


@each_estimator
def test_a_stored_state_of_another_shape_is_refused(estimator, key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    for state in (jnp.zeros((2, 5)), jnp.zeros((3, 4)), jnp.zeros(4), (jnp.zeros((2, 4)),)):
        with pytest.raises(InputError, match="state"):
            estimator.init(STEP, model, window, state=state)


def test_rflo_and_snap_start_from_a_stored_state(key):
    """The gradient is as if the trace of the past had been lost there."""
    model = model_of(CELLS["Leaky"], key)
    whole = random_window(key, resets=False)
    state, window = stored_before(model, whole, 3)
    for estimator in (RFLO(), SnAp()):
        first, second = pieces(whole, 3)
        _, carry, _ = gradient_from(estimator, model, estimator.init(STEP, model, first), first, key)
        lost = Carry(carry.state, jax.tree.map(jnp.zeros_like, carry.trace))
        expected, _, _ = gradient_from(estimator, model, lost, second, key)
        found, _, _ = gradient_from(estimator, model, estimator.init(STEP, model, window, state=state), window, key)
        assert max(distances(found, expected).values()) < 1e-10
