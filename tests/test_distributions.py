"""Distributions over actions: log π, entropy and divergence against sums, integrals and samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary

from engram import InputError
from engram.agents.distributions import Categorical, Gaussian, PolicyHead, distribution


def choices():
    return tuple(Categorical(jnp.array(logits), -1) for logits in ([0.5, -1.0, 2.0, 0.0], [0.0, 1.0, -0.5, 0.3]))


def numbers():
    values = [([0.3, -1.0], [0.2, -0.7]), ([0.0, -0.5], [-0.1, 0.4])]
    return tuple(Gaussian(jnp.array(mean), jnp.array(log_std)) for mean, log_std in values)


def test_choices_are_summed_over():
    one, other = choices()
    actions = jnp.arange(-1, 3)
    log, others = (jax.vmap(each.log_prob)(actions) for each in (one, other))
    np.testing.assert_allclose(jnp.exp(log).sum(), 1)
    np.testing.assert_allclose(one.entropy(), -(jnp.exp(log) * log).sum())
    np.testing.assert_allclose(one.divergence(other), (jnp.exp(log) * (log - others)).sum())
    assert int(one.mode()) == 1


@pytest.mark.parametrize("pair", [choices, numbers])
def test_samples_agree_with_what_is_said_of_them(pair):
    one, other = pair()
    actions = jax.vmap(one.sample)(jax.random.split(jax.random.key(0), 40_000))
    log, others = (jax.vmap(each.log_prob)(actions) for each in (one, other))

    def assert_mean(values, stated):
        assert abs(float(values.mean() - stated)) < 5 * float(values.std()) / 200

    assert_mean(-log, one.entropy())
    assert_mean(log - others, one.divergence(other))
    assert_mean(jnp.exp(others - log), 1.0)
    np.testing.assert_allclose(one.divergence(one), 0, atol=1e-12)
    assert float(one.divergence(other)) > 0.1
    assert float(one.log_prob(one.mode())) >= float(log.max())


def test_numbers_have_the_moments_of_a_gaussian():
    one, _ = numbers()
    samples = jax.vmap(one.sample)(jax.random.split(jax.random.key(1), 40_000))
    np.testing.assert_allclose(samples.mean(0), one.mean, atol=0.03)
    np.testing.assert_allclose(samples.std(0), jnp.exp(one.log_std), rtol=0.03)


def test_a_head_begins_without_preference():
    for space in (Discrete(5, start=2), Box(-1.0, 1.0, (2, 3))):
        head = PolicyHead(8, space, key=jax.random.key(0))
        means = distribution(space, head(jnp.ones(8)))
        action = means.sample(jax.random.key(1))
        assert action.shape == space.shape
        if isinstance(space, Discrete):
            assert int(action) in range(2, 7)
            assert float(means.entropy()) == pytest.approx(np.log(5), abs=1e-3)
        else:
            np.testing.assert_allclose(means.mode(), 0, atol=0.1)
            np.testing.assert_allclose(means.log_std, 0)


@pytest.mark.parametrize("space", [MultiBinary(3), Box(0, 255, (3,), np.uint8), Dict(a=Discrete(2))], ids=str)
def test_control_other_actions_are_refused(space):
    with pytest.raises(InputError, match=r"Agents choose among Discrete actions, or in a Box of floats; .* is neither"):
        PolicyHead(8, space, key=jax.random.key(0))
