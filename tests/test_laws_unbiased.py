"""ARTBP, UORO and KF-RTRL are unbiased: at fixed parameters, the mean of many draws is the gradient of BPTT (by |z|)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from tables import CELLS, FROZEN, STACKS, flat, gradient_over, model_of, pieces, random_window, squared_error

from farback import Network, NetworkStep
from farback.cells import GRU, Chain, Parallel
from farback.estimators import ARTBP, BPTT, KFRTRL, UORO, forward, kf_rtrl, uoro
from farback.estimators.base import one_example
from farback.estimators.reach import parts
from farback.estimators.reverse import reverse_gradient
from farback.types import Carry

pytestmark = pytest.mark.slow

MODELS = CELLS | STACKS | FROZEN
STEP = NetworkStep(squared_error)
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


@pytest.mark.parametrize("name", ["GRU", "LRU", "GTrXL", "LSTM-Elman-GRU"])
def test_artbp_is_unbiased(name, key):
    model, window = model_of(MODELS[name], key), random_window(key, steps=8)
    assert z_of(ARTBP(3, alpha=4), model, [window], window) < BOUND


@pytest.mark.parametrize("name", ["LSTM", "LRU", "DeltaNet", "LSTM-Elman-GRU", "SkipConcat-Frozen-GRU"])
def test_uoro_is_unbiased(name, key):
    model, window = model_of(MODELS[name], key), random_window(key)
    assert z_of(UORO(), model, pieces(window, 3), window) < BOUND


@pytest.mark.parametrize(
    "estimator",
    [UORO(rank=3), UORO(memory=2), UORO(rank=2, memory=3), UORO(epsilon=1e-5, epsilon_inside=True)],
    ids=str,
)
def test_uoro_is_unbiased_in_every_form(estimator, key):
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    assert z_of(estimator, model, [window], window) < BOUND


@pytest.mark.parametrize("name", ["Elman", "Leaky", "Gated", "GRU", "LSTM", "Parallel", "Frozen-GRU"])
def test_kf_rtrl_is_unbiased(name, key):
    model, window = model_of(MODELS[name], key), random_window(key)
    assert z_of(KFRTRL(), model, pieces(window, 2), window) < BOUND


def test_a_batch_of_two_halves_the_variance(key):
    """Each example draws its own truncations and traces."""
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


def test_uoro_rank_divides_the_variance(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key, resets=False)

    def variance(rank):
        def draw(key):
            return flat(gradient_over(UORO(rank=rank), STEP, model, [window], key)[0])

        draws = jax.lax.map(draw, jax.random.split(key, 2000), batch_size=100)
        return jnp.sum(jnp.var(draws, axis=0))

    assert variance(1) / variance(4) == pytest.approx(4, rel=0.25)


def test_uoro_is_finite_where_its_tangent_is_zero(key):
    """A reset state forgets everything, so s̃ is pushed to zero."""
    model, window = model_of(CELLS["GRU"], key), random_window(key)
    window = eqx.tree_at(lambda window: window.first, window, jnp.ones_like(window.first))
    gradient, _ = gradient_over(UORO(), STEP, model, pieces(window, 1), key)
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)
    assert jnp.allclose(flat(gradient), flat(exact), rtol=1e-6, atol=1e-9)


def branches(key, shared):
    """The memories of a policy and of a value, with or without a shared layer before them."""
    layer, one, other = jax.random.split(key, 3)
    memory = Chain(Parallel(GRU(3, 4, key=one), GRU(3, 2, key=other)))
    encoder = eqx.nn.Linear(3, 3, key=layer) if shared else eqx.nn.Identity()
    return Network(encoder, memory, eqx.nn.Identity())


def policy_gradient_beside(scale, key, shared):
    """UORO's gradient of the first memory, where the loss of the second memory has the weight `scale`."""
    step = NetworkStep(lambda output, target: (jnp.sum(output[0] ** 2) + scale * jnp.sum(output[1] ** 2), {}))
    window = random_window(key, resets=False)
    gradient, _ = gradient_over(UORO(), step, branches(key, shared), [window], key)
    return flat(gradient.memory.layers[0].branches[0])


def test_uoro_separate_memories_add_no_noise_to_each_other(key):
    alone, beside = (policy_gradient_beside(scale, key, shared=False) for scale in (0.0, 100.0))
    assert jnp.array_equal(alone, beside)


def test_control_uoro_memories_behind_a_shared_layer_share_noise(key):
    alone, beside = (policy_gradient_beside(scale, key, shared=True) for scale in (0.0, 100.0))
    assert jnp.linalg.norm(alone - beside) > jnp.linalg.norm(alone)


@pytest.mark.parametrize(("shared", "count"), [(True, 1), (False, 2)])
def test_uoro_parts_are_the_memories_without_shared_parameters(shared, count, key):
    model, window = branches(key, shared), one_example(random_window(key))
    found = parts(STEP, model, model.memory.initial(), window)
    assert len(set(jax.tree.leaves(found.state))) == count
    assert set(jax.tree.leaves(found.parameters)) == set(jax.tree.leaves(found.state))


# Negative controls: the test of unbiasedness fails where a part of the estimator is left out.


def test_control_artbp_without_weights_is_biased(key):
    model, window = model_of(CELLS["GRU"], key), random_window(key, steps=8, resets=False)
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)

    def draw(key):
        flow = jax.vmap(lambda key: ARTBP(3).flow(8, key))(jax.random.split(key, 2))
        unweighted = (flow > 0).astype(float)
        return flat(reverse_gradient(STEP, model, BPTT().init(STEP, model, window), window, unweighted)[0])

    assert worst_z(draw, flat(exact)) > BOUND


class OneSided:
    """A normaliser that scales only one factor of a random trace."""

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
def test_control_a_normaliser_of_one_factor_is_biased(estimator, module, kept, key, monkeypatch):
    model, window = model_of(CELLS["GRU"], key), random_window(key, resets=False)
    exact, _ = gradient_over(BPTT(), STEP, model, [window], key)
    monkeypatch.setattr(module, "normaliser", lambda *norms: OneSided(forward.normaliser(*norms), kept))
    carry = estimator.init(STEP, model, window)

    def draw(key):
        return flat(estimator.gradient(STEP, model, carry, window, key)[0])

    assert worst_z(draw, flat(exact)) > BOUND


@pytest.mark.parametrize("estimator", [UORO(), KFRTRL()], ids=str)
def test_control_a_truncated_trace_is_biased(estimator, key):
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


def test_artbp_lengths_have_the_promised_mean():
    for length, alpha in ((16, 6.0), (50, 4.0)):
        flow = eqx.filter_jit(ARTBP(length, alpha).flow)(400_000, jax.random.key(3))
        assert 400_000 / jnp.sum(flow == 0) == pytest.approx(length, rel=0.05)
