"""What the diagnosis says is so: exact is exact, noise is noise, bias is bias, and credit reaches as far as it does."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from tables import CELLS, model_of, random_window, squared_error

from engram import ARTBP, BPTT, GRU, RTRL, TBPTT, UORO, AbstractCell, AbstractEstimator, Chain, Supervised
from engram.reports.diagnosis import diagnose, reach
from engram.reports.figures import draw_reach

STEP = Supervised(squared_error)


@pytest.fixture(scope="module")
def found():
    key = jax.random.key(0)
    model, window = model_of(CELLS["GRU"], key), random_window(key, steps=12, resets=False)
    estimators = [BPTT(), RTRL(), TBPTT(2), ARTBP(4), UORO(), UORO(rank=8)]
    return {one.estimator: one for one in diagnose(STEP, model, window, estimators, draws=400, key=key)}


def test_exact_estimators_are_exact(found):
    for name in ("BPTT()", "RTRL()"):
        assert found[name].bias < 1e-12
        assert found[name].variance == 0
        assert found[name].cosine == pytest.approx(1)


def test_truncation_is_biased_and_silent(found):
    assert found["TBPTT(2)"].bias > 0.01
    assert found["TBPTT(2)"].variance == 0
    assert found["TBPTT(2)"].cosine < 1


def test_random_estimators_are_noisy_and_unbiased(found):
    for name in ("ARTBP(4)", "UORO()", "UORO(rank=8)"):
        assert found[name].bias < 3 * found[name].bias_floor
        assert found[name].variance > 0
    assert found["UORO()"].variance > 4 * found["UORO(rank=8)"].variance


def test_costs_are_measured(found):
    for one in found.values():
        assert one.seconds_per_step > 0
        assert one.bytes > 0
        assert one.compile_seconds > 0
        assert all(math.isfinite(value) for value in vars(one).values() if isinstance(value, float))


def test_the_variance_is_that_of_the_draws(key):
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


def test_credit_falls_as_it_must(key):
    model = Fading(jnp.array(0.5))
    window = random_window(key, resets=False, steps=16)
    norms = reach(STEP, model, window, lags=6)
    assert jnp.allclose(norms[1:] / norms[:-1], 0.5, rtol=1e-6)


def test_no_credit_crosses_the_beginning_of_an_episode(key):
    window = random_window(key, steps=8)
    window = eqx.tree_at(lambda window: window.first, window, jnp.ones_like(window.first))
    assert not jnp.any(reach(STEP, Fading(jnp.array(0.9)), window, lags=4))


def test_the_picture_is_drawn(tmp_path, key):
    draw_reach(jnp.array([1.0, 0.5, 0.0]), "reach", tmp_path / "reach.png")
    assert (tmp_path / "reach.png").read_bytes()[:4] == b"\x89PNG"


def test_a_model_may_hold_what_is_no_array(key):
    model = Chain(GRU(3, 4, key=key), jnp.tanh, eqx.nn.Linear(4, 2, key=key))
    diagnose(STEP, model, random_window(key), [BPTT(), UORO()], draws=2, key=key)


class Noisy(AbstractEstimator):
    """BPTT's gradient plus noise of a known relative variance."""

    variance: float

    @property
    def random(self):
        return True

    def init(self, step, model, window):
        return BPTT().init(step, model, window)

    def gradient(self, step, model, carry, window, key):
        gradient, carry, outcome = BPTT().gradient(step, model, carry, window, key)
        flat, build = jax.flatten_util.ravel_pytree(gradient)
        noise = jax.random.normal(key, flat.shape) * jnp.linalg.norm(flat) * (self.variance / flat.size) ** 0.5
        return build(flat + noise), carry, outcome


@pytest.mark.parametrize("variance", [0.1, 3.0, 40.0])
def test_a_known_variance_is_found(variance, key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    (one,) = diagnose(STEP, model, window, [Noisy(variance)], draws=400, key=key)
    assert one.variance == pytest.approx(variance, rel=0.3)
    assert one.bias_floor == pytest.approx((variance / 400) ** 0.5, rel=0.2)
    assert one.bias < 2 * one.bias_floor


def test_a_variance_beyond_the_draws_is_given_as_their_number(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    (one,) = diagnose(STEP, model, window, [Noisy(1e6)], draws=20, key=key)
    assert one.variance == pytest.approx(20)


def test_an_estimator_that_is_rarely_random_is_drawn_all_the_same(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key, batch=1, steps=8, resets=False)
    (one,) = diagnose(STEP, model, window, [ARTBP(100)], draws=400, key=key)
    assert one.variance > 0
    assert one.bias < 3 * one.bias_floor
