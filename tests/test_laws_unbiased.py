"""ARTBP, UORO and KF-RTRL are unbiased: the mean of many draws at frozen parameters is BPTT's gradient, by |z|."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from tables import CELLS, STACKS, flat, gradient_over, model_of, pieces, random_window, squared_error

from engram import ARTBP, BPTT, GRU, KFRTRL, UORO, Chain, Parallel, Supervised
from engram.estimators import forward, kf_rtrl, uoro
from engram.estimators.base import one_example
from engram.estimators.reach import parts
from engram.estimators.reverse import reverse_gradient
from engram.types import Carry

MODELS = CELLS | STACKS
STEP = Supervised(squared_error)
DRAWS = 500
BOUND = 5.0


def worst_z(draw, exact):
    """The largest |z| of the mean of the draws, over the parameters and over the direction of the exact gradient."""
    draws = jax.lax.map(draw, jax.random.split(jax.random.key(11), DRAWS), batch_size=50)
    draws = jnp.concatenate([draws, (draws @ exact)[:, None]], axis=1)
    exact = jnp.append(exact, exact @ exact)
    error = jnp.std(draws, axis=0, ddof=1) / DRAWS**0.5
    return float(jnp.max(jnp.abs(jnp.mean(draws, axis=0) - exact) / jnp.maximum(error, 1e-9)))


def z_of(estimator, model, windows, whole):
    exact, _ = gradient_over(BPTT(), STEP, model, [whole], jax.random.key(0))
    return worst_z(lambda key: flat(gradient_over(estimator, STEP, model, windows, key)[0]), flat(exact))


@pytest.mark.parametrize("name", MODELS)
def test_artbp(name, key):
    model, window = model_of(MODELS[name], key), random_window(key, steps=8)
    assert z_of(ARTBP(3, alpha=4), model, [window], window) < BOUND


@pytest.mark.parametrize("name", MODELS)
def test_uoro(name, key):
    model, window = model_of(MODELS[name], key), random_window(key)
    assert z_of(UORO(), model, pieces(window, 3), window) < BOUND


@pytest.mark.parametrize(
    "estimator",
    [UORO(rank=3), UORO(memory=2), UORO(rank=2, memory=3), UORO(epsilon=1e-5, epsilon_inside=True)],
    ids=str,
)
def test_uoro_in_all_its_forms(estimator, key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    assert z_of(estimator, model, [window], window) < BOUND


@pytest.mark.parametrize("name", ["Elman", "Leaky", "Gated", "GRU", "LSTM", "Parallel"])
def test_kf_rtrl(name, key):
    model, window = model_of(MODELS[name], key), random_window(key)
    assert z_of(KFRTRL(), model, pieces(window, 2), window) < BOUND


def test_sharing_no_draw_between_examples(key):
    """The examples of a batch are truncated, and their traces drawn, each by itself: a batch of two halves the variance."""
    model, window = model_of(CELLS["GRU"], key), random_window(key, batch=1, steps=8, resets=False)
    twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), window)
    for estimator in (UORO(), ARTBP(3)):

        def variance(window, estimator=estimator):
            draws = jax.lax.map(
                lambda key: flat(gradient_over(estimator, STEP, model, [window], key)[0]),
                jax.random.split(key, 2000),
                batch_size=100,
            )
            return jnp.sum(jnp.var(draws, axis=0))

        assert variance(window) / variance(twice) == pytest.approx(2, rel=0.25)


def test_rank_divides_the_variance(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key, resets=False)

    def variance(rank):
        def draw(key):
            return flat(gradient_over(UORO(rank=rank), STEP, model, [window], key)[0])

        draws = jax.lax.map(draw, jax.random.split(key, 2000), batch_size=100)
        return jnp.sum(jnp.var(draws, axis=0))

    assert variance(1) / variance(4) == pytest.approx(4, rel=0.25)


def test_the_first_step_of_uoro_divides_by_no_zero(key):
    """Where the state forgets everything, the tangent s̃ is pushed to zero; the normalisers must bear it."""
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    window = eqx.tree_at(lambda window: window.first, window, jnp.ones_like(window.first))
    gradient, _ = gradient_over(UORO(), STEP, model, pieces(window, 1), key)
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)
    assert jnp.allclose(flat(gradient), flat(exact), rtol=1e-6, atol=1e-9)


def branches(key, shared):
    """Two memories, of a policy and of a value, behind a layer that both share or not."""
    layer, one, other = jax.random.split(key, 3)
    memories = Parallel(GRU(3, 4, key=one), GRU(3, 2, key=other))
    return Chain(eqx.nn.Linear(3, 3, key=layer), memories) if shared else Chain(memories)


def policy_gradient_beside(scale, key, shared):
    """UORO's gradient of the first memory, where the loss of the second weighs so much."""
    step = Supervised(lambda output, target: (jnp.sum(output[0] ** 2) + scale * jnp.sum(output[1] ** 2), {}))
    window = random_window(key, resets=False)
    gradient, _ = gradient_over(UORO(), step, branches(key, shared), [window], key)
    return flat(gradient.layers[-1].branches[0])


def test_what_does_not_move_each_other_adds_no_noise_to_each_other(key):
    alone, beside = (policy_gradient_beside(scale, key, shared=False) for scale in (0.0, 100.0))
    assert jnp.array_equal(alone, beside)


def test_control_what_moves_both_joins_them(key):
    alone, beside = (policy_gradient_beside(scale, key, shared=True) for scale in (0.0, 100.0))
    assert jnp.linalg.norm(alone - beside) > jnp.linalg.norm(alone)


@pytest.mark.parametrize(("shared", "count"), [(True, 1), (False, 2)])
def test_parts_are_those_that_move_each_other(shared, count, key):
    model, window = branches(key, shared), one_example(random_window(key))
    found = parts(STEP, model, model.initial(), window)
    assert len(set(jax.tree.leaves(found.state))) == count
    assert set(jax.tree.leaves(found.parameters)) == set(jax.tree.leaves(found.state))


# Negative controls: the same test must fail where what makes the estimate unbiased is left out.


def test_control_artbp_without_its_weights(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key, steps=8, resets=False)
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)

    def draw(key):
        flow = jax.vmap(lambda key: ARTBP(3).flow(8, key))(jax.random.split(key, 2))
        unweighted = (flow > 0).astype(float)
        return flat(reverse_gradient(STEP, model, BPTT().init(STEP, model, window), window, unweighted)[0])

    assert worst_z(draw, flat(exact)) > BOUND


class OneSided:
    """A normaliser that acts on one factor of a random trace, and is left out of the other."""

    def __init__(self, rho, kept):
        self.rho, self.kept = rho, kept

    def __mul__(self, factor):
        return self.rho * factor if self.kept == "multiplied" else factor

    def __rmul__(self, factor):
        return self * factor

    def __rtruediv__(self, factor):
        return factor / self.rho if self.kept == "divided" else factor


@pytest.mark.parametrize("kept", ["multiplied", "divided"])
@pytest.mark.parametrize(("estimator", "module"), [(UORO(), uoro), (KFRTRL(), kf_rtrl)], ids=["UORO", "KFRTRL"])
def test_control_a_normaliser_on_one_factor_alone(estimator, module, kept, key, monkeypatch):
    model, window = model_of(CELLS["GRU"], key), random_window(key, resets=False)
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)
    monkeypatch.setattr(module, "normaliser", lambda *norms: OneSided(forward.normaliser(*norms), kept))
    carry = estimator.init(STEP, model, window)

    def draw(key):
        return flat(estimator.gradient(STEP, model, carry, window, key)[0])

    assert worst_z(draw, flat(exact)) > BOUND


@pytest.mark.parametrize("estimator", [UORO(), KFRTRL()], ids=str)
def test_control_a_trace_that_is_cut(estimator, key):
    model, window = model_of(CELLS["GRU"], key), random_window(key, resets=False)
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)

    def draw(key):
        total, carry = 0.0, estimator.init(STEP, model, window)
        for now, now_key in zip(pieces(window, 2), jax.random.split(key, 3), strict=True):
            gradient, carry, _ = estimator.gradient(STEP, model, carry, now, now_key)
            carry = Carry(carry.state, jax.tree.map(jnp.zeros_like, carry.trace))
            total = total + flat(gradient) / 3
        return total

    assert worst_z(draw, flat(exact)) > BOUND


def test_the_lengths_of_artbp_have_the_mean_that_it_promises():
    for length, alpha in ((16, 6.0), (50, 4.0)):
        flow = eqx.filter_jit(ARTBP(length, alpha).flow)(400_000, jax.random.key(3))
        assert 400_000 / jnp.sum(flow == 0) == pytest.approx(length, rel=0.05)
