"""Returns and advantages against hand-worked numbers, and the laws that relate them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from farback.ops.returns import (
    RewardSequence,
    discounted,
    episode_return,
    explained_variance,
    gae,
    n_step,
    normalise_advantage,
)

# Three steps up to a termination, the last observation; two steps up to a truncation, the last observation; two steps.
REWARD = [1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 0.0, 6.0, 7.0]
TERMINATED = [0, 0, 1, 0, 0, 0, 0, 0, 0]
ENDED = [0, 0, 1, 1, 0, 1, 1, 0, 0]
FIRST = [1, 0, 0, 0, 1, 0, 0, 1, 0]
VALUE = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0]
STEPS = RewardSequence(np.array(REWARD), np.array(TERMINATED, bool), np.array(ENDED, bool), np.array(VALUE))
LIVE = [0, 1, 2, 4, 5, 7, 8]
"""The steps with an action; the others show the last observation of an episode."""


def as_arrays(steps):
    return RewardSequence(*map(jnp.asarray, steps))


def test_discounted_returns_by_hand():
    found = discounted(as_arrays(STEPS), 0.5)[jnp.array(LIVE)]
    np.testing.assert_allclose(found, [1 + 1 + 0.75, 2 + 1.5, 3, 4 + 2.5 + 17.5, 5 + 35, 6 + 3.5 + 25, 7 + 50])


def test_gae_by_hand():
    found = gae(as_arrays(STEPS), 0.5, 0.5)[jnp.array(LIVE)]
    errors = {0: 1 + 10 - 10, 1: 2 + 15 - 20, 2: 3 - 30, 4: 4 + 30 - 50, 5: 5 + 35 - 60, 7: 6 + 45 - 80, 8: 7 + 50 - 90}
    wanted = [
        errors[0] + errors[1] / 4 + errors[2] / 16,
        errors[1] + errors[2] / 4,
        errors[2],
        errors[4] + errors[5] / 4,
        errors[5],
        errors[7] + errors[8] / 4,
        errors[8],
    ]
    np.testing.assert_allclose(found, wanted)


def test_n_step_by_hand():
    found = n_step(as_arrays(STEPS), 0.5, 2)[jnp.array(LIVE)]
    np.testing.assert_allclose(
        found,
        [1 + 1 + 7.5 - 10, 2 + 1.5 - 20, 3 - 30, 4 + 2.5 + 17.5 - 50, 5 + 35 - 60, 6 + 3.5 + 25 - 80, 7 + 50 - 90],
    )


def test_episode_return_by_hand():
    found = episode_return(as_arrays(STEPS), jnp.array(FIRST, bool))[jnp.array(LIVE)]
    np.testing.assert_allclose(found, [6, 6, 6, 9, 9, 13, 13])


@pytest.fixture
def steps():
    """A random sequence of episodes."""
    keys = jax.random.split(jax.random.key(0), 3)
    ends = jax.random.choice(keys[0], 3, (60,), p=jnp.array([0.8, 0.1, 0.1]))
    ends = jnp.where(jnp.roll(ends, 1) > 0, 0, ends).at[0].set(0)
    over = jnp.roll(ends > 0, 1)
    return RewardSequence(
        jax.random.normal(keys[1], (60,)), ends == 1, (ends > 0) | over, jax.random.normal(keys[2], (61,))
    )


@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_gae_with_lambda_0_and_1_equals_n_step(steps, gamma):
    np.testing.assert_allclose(gae(steps, gamma, 0.0), n_step(steps, gamma, 1), atol=1e-6)
    np.testing.assert_allclose(gae(steps, gamma, 1.0), n_step(steps, gamma, 60), atol=1e-5)
    np.testing.assert_allclose(gae(steps, gamma, 1.0) + steps.value[:-1], discounted(steps, gamma), atol=1e-6)


def test_gae_is_the_mean_of_n_step_advantages(steps):
    """A_t = (1 − λ) Σ_k λ^{k−1} A_t^{(k)}."""
    gamma, lam = 0.9, 0.7
    mixed = sum((1 - lam) * lam ** (k - 1) * n_step(steps, gamma, k) for k in range(1, 45))
    np.testing.assert_allclose(gae(steps, gamma, lam), mixed, atol=1e-5)


@pytest.mark.parametrize(
    "advantages", [lambda s: gae(s, 0.9, 0.8), lambda s: n_step(s, 0.9, 3), lambda s: discounted(s, 0.9)]
)
def test_advantages_bootstrap_after_truncation_and_not_after_termination(steps, advantages):
    """No reward passes into the episode before it."""
    over = jnp.roll(steps.ended, 1) & steps.ended
    (places,) = np.nonzero(np.asarray(over))
    assert len(places) > 4
    for place in places:
        before = jnp.arange(60) < place
        changed = steps._replace(value=steps.value.at[place].add(1.0))
        moved = bool((before & (jnp.abs(advantages(changed) - advantages(steps)) > 1e-3)).any())
        assert moved != bool(steps.terminated[place - 1])
        later = steps._replace(reward=jnp.where(before, steps.reward, steps.reward + 1))
        np.testing.assert_array_equal(advantages(later)[:place], advantages(steps)[:place])


def test_control_gae_without_episode_ends_differs(steps):
    forgotten = steps._replace(ended=jnp.zeros_like(steps.ended))
    assert float(jnp.abs(gae(forgotten, 0.9, 0.8) - gae(steps, 0.9, 0.8)).max()) > 0.1


WEIGHT = jnp.array([1.0, 1.0, 0.0, 2.0])


def test_normalised_advantages_have_mean_0_and_deviation_1():
    found = normalise_advantage(jnp.array([1.0, 5.0, 100.0, 3.0]), WEIGHT)
    np.testing.assert_allclose(found[jnp.array([0, 1, 3])], [-(2**0.5), 2**0.5, 0], atol=1e-7)


def test_explained_variance_by_hand():
    """Targets 0, 4 and twice 2 have variance 2; errors 1, −1 and twice 0 have variance 1/2."""
    target = jnp.array([0.0, 4.0, 100.0, 2.0])
    assert explained_variance(target, jnp.array([-1.0, 5.0, 0.0, 2.0]), WEIGHT) == pytest.approx(0.75)
    assert explained_variance(target, target + 7, WEIGHT) == pytest.approx(1)
    assert explained_variance(target, jnp.zeros(4), WEIGHT) == pytest.approx(0)
    assert explained_variance(target, -target, WEIGHT) == pytest.approx(-3)
    assert jnp.isnan(explained_variance(jnp.ones(4), target, WEIGHT))


def test_control_explained_variance_without_weights_differs():
    target, value = jnp.array([0.0, 4.0, 100.0, 2.0]), jnp.array([-1.0, 5.0, 0.0, 2.0])
    assert abs(explained_variance(target, value, jnp.ones(4)) - 0.75) > 0.1
