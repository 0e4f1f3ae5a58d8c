"""The gradient and the carry of a batch on two devices equal those on one, up to the order of summation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from tables import CELLS, STACKS, distances, flat, model_of, random_window, squared_error

from farback import InputError, NetworkStep
from farback.estimators import ARTBP, BPTT, KFRTRL, RTRL, UORO, Sharded

pytestmark = pytest.mark.slow

STEP = NetworkStep(squared_error)


@pytest.mark.parametrize("estimator", [BPTT(), RTRL()], ids=str)
@pytest.mark.parametrize("name", ["LSTM", "LRU", "GRU-GRU"])
def test_sharded_exact_estimators_equal_one_device(estimator, name, key):
    model, window = model_of((CELLS | STACKS)[name], key), random_window(key, batch=4)
    one, many = (eqx.filter_jit(e.gradient) for e in (estimator, Sharded(estimator, 2)))
    carry = estimator.init(STEP, model, window)
    gradient, after, outcome = many(STEP, model, carry, window, key)
    exact, expected, outcome_of_one = one(STEP, model, carry, window, key)
    assert max(distances(gradient, exact).values()) < 1e-12
    assert jnp.allclose(flat(after), flat(expected), rtol=1e-12)
    assert jnp.allclose(outcome.loss, outcome_of_one.loss, rtol=1e-12)
    assert outcome.metrics["error"].count == outcome_of_one.metrics["error"].count


@pytest.mark.parametrize("estimator", [ARTBP(3), UORO(rank=2), KFRTRL()], ids=str)
def test_sharded_random_estimators_draw_the_same(estimator, key):
    model, window = model_of(CELLS["GRU"], key), random_window(key, batch=4)
    carry = estimator.init(STEP, model, window)
    gradient, after, _ = eqx.filter_jit(Sharded(estimator, 2).gradient)(STEP, model, carry, window, key)
    expected, after_one, _ = eqx.filter_jit(estimator.gradient)(STEP, model, carry, window, key)
    assert max(distances(gradient, expected).values()) < 1e-12
    assert jnp.allclose(flat(after), flat(after_one), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("estimator", [ARTBP(3), UORO()], ids=str)
def test_control_examples_with_other_keys_draw_differently(estimator, key):
    model, window = model_of(CELLS["GRU"], key), random_window(key, batch=1, resets=False)
    keys = jax.random.split(key, 2)
    gradients = [
        estimator.gradient(STEP, model, estimator.init(STEP, model, window), window, keys[i, None])[0] for i in (0, 1)
    ]
    assert not jnp.allclose(flat(gradients[0]), flat(gradients[1]))


def test_sharded_refuses_devices_that_do_not_exist_or_divide_the_batch(key):
    with pytest.raises(InputError, match="jax_num_cpu_devices"):
        Sharded(BPTT(), 3)
    model, window = model_of(CELLS["GRU"], key), random_window(key, batch=3)
    with pytest.raises(InputError, match="batch of 3"):
        Sharded(BPTT(), 2).gradient(STEP, model, BPTT().init(STEP, model, window), window, key)
