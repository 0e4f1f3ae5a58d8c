"""Which steps are scored as surprising, and which are selected."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from memup_models import EPISODES, memup, predictor
from states import arrays
from tables import flat

from farback.agents import QNetwork
from farback.cells import GRU
from farback.envs import CartPole, Pendulum, TMaze
from farback.memup import (
    PredictionErrorDetector,
    QuantileSpreadDetector,
    RandomEpisodes,
    RandomK,
    ReturnSpreadDetector,
    TopK,
    selectors,
)
from farback.memup.prediction_errors import prediction_errors
from farback.memup.selectors import spread
from farback.ops.quantiles import midpoints, quantile_loss
from farback.types import InputError

pytestmark = pytest.mark.slow


def test_top_k_selects_the_highest_scores_of_later_steps(key):
    scores = jnp.array([5.0, 1.0, 4.0, 2.0, 9.0, 3.0])
    mask = jnp.arange(6) < 5
    selected = TopK(2)(scores, mask, key)
    assert selected.steps[:4].tolist() == [[4, 0], [4, 2], [4, 2], [4, 3]]
    assert selected.weight.tolist() == [[1, 1]] * 4 + [[1, 0], [0, 0]]
    assert selected.steps[4, 0] == 4
    every = TopK(6)(scores, mask, key)
    later = [sorted(np.asarray(steps)[np.asarray(weight) > 0]) for steps, weight in zip(*every, strict=True)]
    assert later == [list(range(step, 5)) for step in range(6)]


def test_top_k_samples_in_proportion_to_the_softmax(key):
    scores = jnp.array([1.0, 0.0, 0.0, 3.0])
    keys = jax.random.split(key, 4000)

    def shares(selector, scores):
        draw = jax.vmap(lambda key: selector(scores, jnp.ones(4, bool), key).steps[1, 0])
        return np.bincount(np.asarray(draw(keys)), minlength=4) / len(keys)

    thirds = [0, 1 / 3, 1 / 3, 1 / 3]
    assert np.allclose(shares(RandomK(1), scores), thirds, atol=0.03)
    assert np.allclose(shares(TopK(1, 0.5), jnp.ones(4)), thirds, atol=0.03)
    sigma = float(spread(scores, jnp.ones(4, bool)))
    assert np.isclose(sigma, np.std([1, 0, 0, 3]))
    weights = np.exp(np.array([0, 0, 3]) / (1.5 * sigma))
    assert np.allclose(shares(TopK(1, 1.5), scores), [0, *(weights / weights.sum())], atol=0.03)
    assert shares(TopK(1, 0.0), scores).tolist() == [0, 0, 0, 1]


def test_selection_of_consecutive_steps_is_independent(key, monkeypatch):
    def equal():
        steps = RandomK(1)(jnp.ones(1000), jnp.ones(1000, bool), key).steps[:500, 0]
        return float(jnp.mean(steps[1:] == steps[:-1]))

    assert equal() < 0.05
    monkeypatch.setattr(selectors, "DRAWS", 1)
    assert equal() > 0.9


@pytest.mark.parametrize("selector", [TopK(2), TopK(2, temperature=0.1), RandomK(2)])
def test_selection_excludes_steps_with_a_nan_score(selector, key):
    scores = jnp.array([0.0, 1.0, 5.0, jnp.nan, 2.0])
    selected = selector(scores, jnp.ones(5, bool), key)
    assert selected.weight.tolist() == [[1, 1], [1, 1], [1, 1], [1, 0], [1, 0]]
    assert not jnp.any((selected.steps == 3) & (selected.weight == 1))
    if selector == TopK(2):
        assert selected.steps[0].tolist() == [2, 4]


def test_prediction_error_detector_averages_the_network(key):
    network = predictor(EPISODES, key)
    moved = jax.tree.map(lambda leaf: leaf + 1 if eqx.is_inexact_array(leaf) else leaf, network)
    slow = PredictionErrorDetector(0.9)
    state = slow.after_update(slow.init(EPISODES, network, key), moved)
    assert jnp.allclose(flat(slow.model(state, moved)), 0.9 * flat(network) + 0.1 * flat(moved))
    own = PredictionErrorDetector(0.0)
    assert own.model(own.after_update(own.init(EPISODES, network, key), moved), moved) is moved


def test_prediction_error_detector_scores_the_error_of_its_model(key):
    network, episodes, detector = predictor(EPISODES, key), EPISODES.draw(3, key), PredictionErrorDetector()
    state = detector.init(EPISODES, network, key)
    errors = prediction_errors(EPISODES, detector.model(state, network), episodes)
    assert jnp.array_equal(detector.scores(state, episodes, errors), errors.error)


def test_quantile_loss_is_least_at_the_quantiles(key):
    samples = jnp.sort(jax.random.normal(key, (400,)))
    loss = jax.jit(lambda quantiles: quantile_loss(quantiles, samples, 1e-3))
    found = jax.lax.fori_loop(
        0, 3000, lambda step, at: at - 0.3 / (1 + step.astype(float) / 100) * jax.grad(loss)(at), jnp.zeros(5)
    )
    assert jnp.allclose(found, jnp.quantile(samples, midpoints(5)), atol=0.02)
    error = jnp.array([[0.5, -3.0]])
    by_hand = (0.5 * 0.5**2 / 2 + 0.5 * (3 - 0.5)) / 2
    assert jnp.isclose(quantile_loss(jnp.zeros(1), error[0]), by_hand)


def test_quantile_spread_detector_learns_the_spread_of_outcomes(key):
    """Without memory, the choice at the maze's end has reward 4 or −3 at random, and every other step has reward 0."""
    data, detector = RandomEpisodes(TMaze(6)), QuantileSpreadDetector(learning_rate=1e-2)
    network = predictor(data, key, context=False)

    @jax.jit
    def fit(arrays, key):
        draw_key, key = jax.random.split(key)
        return eqx.filter(detector.fit(eqx.combine(arrays, static), data.draw(64, draw_key), key), eqx.is_array)

    arrays, static = eqx.partition(detector.init(data, network, key), eqx.is_array)
    with jax.numpy_dtype_promotion("standard"):
        for part in jax.random.split(key, 20):
            arrays = fit(arrays, part)
    episodes, state = data.draw(8, key), eqx.combine(arrays, static)
    errors = prediction_errors(data, detector.model(state, network), episodes)
    found = detector.scores(state, episodes, errors)
    assert jnp.all(jnp.abs(found[:, -1] - 3.5) < 0.6)
    assert jnp.all(found[:, :-1] < 0.6)


def test_quantile_spread_detector_refuses_outcomes_that_are_not_numbers(key):
    with pytest.raises(InputError, match="QuantileSpreadDetector needs scalar outcomes"):
        QuantileSpreadDetector().init(EPISODES, predictor(EPISODES, key), key)


def test_return_spread_detector_scores_the_return_of_the_action(key):
    """By hand: the quantiles of a recurrent network at each step of an episode, one step at a time."""
    data = RandomEpisodes(TMaze(6))
    network = QNetwork(lambda size, key: GRU(size, 5, key=key), quantiles=3)(TMaze(6), key=key)
    detector, episodes = ReturnSpreadDetector(network), data.draw(3, key)
    memory = predictor(data, key, context=False)
    state = detector.init(data, memory, key)
    found = detector.scores(state, episodes, prediction_errors(data, memory, episodes))
    carry = network.memory.initial()
    for step in range(int(episodes.mask[0].sum())):
        carry, output = network.memory(carry, network.encoder(episodes.inputs.observation[0, step]))
        quantiles = network.head(output)[episodes.inputs.action[0, step]]
        assert jnp.isclose(found[0, step], jnp.std(quantiles))
    assert jnp.all(found[~episodes.mask] == 0)
    fitted = detector.after_update(detector.fit(state, episodes, key), memory)
    assert all(jnp.array_equal(a, b) for a, b in zip(arrays(fitted), arrays(network), strict=True))


@pytest.mark.parametrize(
    ("env", "quantiles", "message"),
    [
        (Pendulum(), 3, "compares the returns of discrete actions, but the actions of RandomEpisodes are Box"),
        (TMaze(6), 1, r"has an output of the shape \(2, 1\)"),
        (CartPole(), 3, "does not accept these observations"),
    ],
)
def test_return_spread_detector_refuses_networks_that_do_not_fit(env, quantiles, message, key):
    network = QNetwork(lambda size, key: GRU(size, 5, key=key), quantiles=quantiles)(TMaze(6), key=key)
    data = RandomEpisodes(env)
    with pytest.raises(InputError, match=message):
        ReturnSpreadDetector(network).init(data, predictor(data, key), key)


def test_flat_scores_counts_episodes_with_equal_scores(key):
    algorithm = memup(TopK(1))
    state, episodes = algorithm.begin(predictor(EPISODES, key), key), EPISODES.draw(3, key)
    flat_scores = algorithm.prepare(state, episodes, key)[2]["flat_scores"]
    assert (flat_scores.total, flat_scores.count) == (0, 3)
    empty = eqx.tree_at(lambda episodes: episodes.mask, episodes, episodes.mask.at[:2].set(False))
    assert algorithm.prepare(state, empty, key)[2]["flat_scores"].total == 0
    one_step = eqx.tree_at(lambda episodes: episodes.mask, episodes, episodes.mask.at[:2, 1:].set(False))
    assert algorithm.prepare(state, one_step, key)[2]["flat_scores"].total == 2
