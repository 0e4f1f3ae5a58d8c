"""`diagnose` measures known biases and variances, and `credit_reach` a known decay."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from tables import CELLS, model_of, random_window, squared_error

from farback import AbstractCell, AbstractEstimator, Network, NetworkStep, credit_reach, diagnose
from farback.cells import GRU, Chain
from farback.estimators import ARTBP, BPTT, RTRL, TBPTT, UORO
from farback.reports.figures import draw_reach

pytestmark = pytest.mark.slow

STEP = NetworkStep(squared_error)


@pytest.fixture(scope="module")
def found():
    key = jax.random.key(0)
    model, window = model_of(CELLS["GRU"], key), random_window(key, steps=12, resets=False)
    estimators = [BPTT(), RTRL(), TBPTT(2), ARTBP(4), UORO(), UORO(rank=8)]
    return {one.estimator: one for one in diagnose(STEP, model, window, estimators, draws=400, key=key)}


def test_diagnose_finds_exact_estimators_exact(found):
    for name in ("BPTT()", "RTRL()"):
        assert found[name].bias < 1e-12
        assert found[name].variance == 0
        assert found[name].cosine == pytest.approx(1)


def test_diagnose_finds_tbptt_biased_without_variance(found):
    assert found["TBPTT(2)"].bias > 0.01
    assert found["TBPTT(2)"].variance == 0
    assert found["TBPTT(2)"].cosine < 1


def test_diagnose_finds_random_estimators_unbiased_with_variance(found):
    for name in ("ARTBP(4)", "UORO()", "UORO(rank=8)"):
        assert found[name].bias < 3 * found[name].bias_floor
        assert found[name].variance > 0
    assert found["UORO()"].variance > 4 * found["UORO(rank=8)"].variance


def test_diagnose_measures_costs(found):
    for one in found.values():
        assert one.seconds_per_step > 0
        assert one.bytes > 0
        assert one.compile_seconds > 0
        assert all(math.isfinite(value) for value in vars(one).values() if isinstance(value, float))


def test_diagnose_variance_is_that_of_the_draws(key):
    model, window = model_of(CELLS["Elman"], key), random_window(key, resets=False)
    (one,) = diagnose(STEP, model, window, [UORO()], draws=300, key=key)
    carry = UORO().init(STEP, model, window)

    def draw(key):
        gradient, _, _ = UORO().gradient(STEP, model, carry, window, key)
        return jax.flatten_util.ravel_pytree(gradient)[0]

    draws = jax.lax.map(draw, jax.random.split(key, 300), batch_size=50)
    scatter = jnp.sum(jnp.var(draws, axis=0, ddof=1))
    expected = scatter / (jnp.sum(jnp.mean(draws, axis=0) ** 2) - scatter / 300)
    assert one.variance == pytest.approx(float(expected), rel=1e-6)


class Fading(AbstractCell):
    """s′ = rate · s + x: credit over k steps falls as rateᵏ."""

    rate: jax.Array

    def initial(self):
        return jnp.zeros(2)

    def __call__(self, state, x):
        state = self.rate * state + x[:2]
        return state, state


def fading(rate):
    return Network(eqx.nn.Identity(), Fading(jnp.array(rate)), eqx.nn.Identity())


def test_credit_reach_is_that_of_a_known_decay(key):
    model = fading(0.5)
    window = random_window(key, resets=False, steps=16)
    norms = credit_reach(STEP, model, window, lags=6)
    assert jnp.allclose(norms[1:] / norms[:-1], 0.5, rtol=1e-6)


def test_credit_reach_is_zero_across_episodes(key):
    window = random_window(key, steps=8)
    window = eqx.tree_at(lambda window: window.first, window, jnp.ones_like(window.first))
    assert not jnp.any(credit_reach(STEP, fading(0.9), window, lags=4))


def test_draw_reach_writes_an_image(tmp_path, key):
    draw_reach(jnp.array([1.0, 0.5, 0.0]), "reach", tmp_path / "reach.png")
    assert (tmp_path / "reach.png").read_bytes()[:4] == b"\x89PNG"


def test_diagnose_takes_a_model_with_functions_in_it(key):
    memory = Chain(GRU(3, 4, key=key), jnp.tanh)
    model = Network(jnp.tanh, memory, eqx.nn.Linear(4, 2, key=key))
    diagnose(STEP, model, random_window(key), [BPTT(), UORO()], draws=2, key=key)


class Noisy(AbstractEstimator):
    """The gradient of BPTT plus noise of a known relative variance."""

    variance: float

    @property
    def random(self):
        return True

    def init(self, step, model, window, state=None):
        return BPTT().init(step, model, window, state)

    def gradient(self, step, model, carry, window, key):
        gradient, carry, outcome = BPTT().gradient(step, model, carry, window, key)
        flat, build = jax.flatten_util.ravel_pytree(gradient)
        noise = jax.random.normal(key, flat.shape) * jnp.linalg.norm(flat) * (self.variance / flat.size) ** 0.5
        return build(flat + noise), carry, outcome


@pytest.mark.parametrize("variance", [0.1, 3.0, 40.0])
def test_diagnose_finds_a_known_variance(variance, key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    (one,) = diagnose(STEP, model, window, [Noisy(variance)], draws=400, key=key)
    assert one.variance == pytest.approx(variance, rel=0.3)
    assert one.bias_floor == pytest.approx((variance / 400) ** 0.5, rel=0.2)
    assert one.bias < 2 * one.bias_floor


def test_diagnose_caps_the_variance_at_the_number_of_draws(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    (one,) = diagnose(STEP, model, window, [Noisy(1e6)], draws=20, key=key)
    assert one.variance == pytest.approx(20)


def test_diagnose_draws_an_estimator_that_is_rarely_random(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key, batch=1, steps=8, resets=False)
    (one,) = diagnose(STEP, model, window, [ARTBP(100)], draws=400, key=key)
    assert one.variance > 0
    assert one.bias < 3 * one.bias_floor
