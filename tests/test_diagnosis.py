"""What the diagnosis says is so: exact is exact, noise is noise, bias is bias, and credit reaches as far as it does."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from tables import CELLS, model_of, random_window, squared_error

from engram import ARTBP, BPTT, GRU, RTRL, TBPTT, UORO, AbstractCell, Chain, Supervised
from engram.reports.diagnosis import diagnose, reach
from engram.reports.figures import draw_reach

STEP = Supervised(squared_error)


@pytest.fixture(scope="module")
def found():
    key = jax.random.key(0)
    model, window = model_of(CELLS["GRU"], key), random_window(key, steps=12, resets=0.0)
    estimators = [BPTT(), RTRL(), TBPTT(2), ARTBP(4), UORO(), UORO(rank=8)]
    return {one.estimator: one for one in diagnose(STEP, model, window, estimators, draws=400, key=key)}


def test_exact_estimators_are_exact(found):
    for name in ("BPTT()", "RTRL()"):
        assert found[name].bias < 1e-12
        assert found[name].variance is None
        assert found[name].cosine == pytest.approx(1)


def test_truncation_is_biased_and_silent(found):
    assert found["TBPTT(2)"].bias > 0.01
    assert found["TBPTT(2)"].variance is None
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
    model, window = model_of(CELLS["Elman"], key), random_window(key, resets=0.0)
    (one,) = diagnose(STEP, model, window, [UORO()], draws=300, key=key)
    carry = UORO().init(STEP, model, window)

    def draw(key):
        gradient, _, _ = UORO().gradient(STEP, model, carry, window, key)
        return jax.flatten_util.ravel_pytree(gradient)[0]

    draws = jax.lax.map(draw, jax.random.split(key, 300), batch_size=50)
    expected = jnp.sum(jnp.var(draws, axis=0, ddof=1)) / jnp.sum(jnp.mean(draws, axis=0) ** 2)
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
    window = random_window(key, resets=0.0, steps=16)
    norms = reach(STEP, model, window, lags=6).norms
    assert jnp.allclose(norms[1:] / norms[:-1], 0.5, rtol=1e-6)


def test_no_credit_crosses_the_beginning_of_an_episode(key):
    window = random_window(key, resets=1.0, steps=8)
    assert not jnp.any(reach(STEP, Fading(jnp.array(0.9)), window, lags=4).norms)


def test_the_picture_is_drawn(tmp_path, key):
    draw_reach(jnp.array([1.0, 0.5, 0.0]), "reach", tmp_path / "reach.png")
    assert (tmp_path / "reach.png").read_bytes()[:4] == b"\x89PNG"


def test_a_model_may_hold_what_is_no_array(key):
    model = Chain(GRU(3, 4, key=key), jnp.tanh, eqx.nn.Linear(4, 2, key=key))
    diagnose(STEP, model, random_window(key), [BPTT(), UORO()], draws=2, key=key)
