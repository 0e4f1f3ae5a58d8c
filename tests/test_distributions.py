"""Distributions over actions: log π, entropy and divergence against sums, SciPy and samples; heads that give them."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Sequence, Text, Tuple

from farback.heads import ActorCriticHead, ActorCriticOutput, PolicyHead, ValueHead
from farback.ops.distributions import (
    Bernoulli,
    Categorical,
    Gaussian,
    Joint,
    MultiCategorical,
    check_policy_output,
    distribution,
    log_std_size,
    parameter_size,
)
from farback.types import InputError

NESTED = Dict(b=Tuple([Discrete(3, start=1), Box(-1.0, 1.0, (2,))]), a=MultiBinary((2, 1)), c=Box(-9.0, 9.0, ()))
"""In the order of jax.tree: a (2 numbers), b[0] (3), b[1] (2 and 2), c (1 and 1)."""
SPACES = [
    Discrete(5, start=2),
    Box(-1.0, 1.0, (2, 3)),
    Box(-np.inf, np.inf, ()),
    MultiDiscrete([2, 3]),
    MultiDiscrete(np.array([[2, 3, 4], [2, 2, 2]]), start=np.array([[1, 0, -1], [0, 5, 0]])),
    MultiBinary(3),
    MultiBinary((2, 2)),
    NESTED,
    Tuple([Discrete(2)]),
]


def choices():
    return tuple(Categorical(jnp.array(logits), -1) for logits in ([0.5, -1.0, 2.0, 0.0], [0.0, 1.0, -0.5, 0.3]))


def numbers():
    values = [([0.3, -1.0], [0.2, -0.7]), ([0.0, -0.5], [-0.1, 0.4])]
    return tuple(Gaussian(jnp.array(mean), jnp.array(log_std)) for mean, log_std in values)


def bits():
    return tuple(Bernoulli(jnp.array(logits)) for logits in ([[0.5], [-1.5]], [[-0.2], [1.0]]))


def many_choices():
    space = MultiDiscrete(np.array([[2, 3]]), start=np.array([[0, -1]]))
    vectors = ([0.5, -0.5, 1.0, 0.0, -1.0], [0.0, 0.3, 0.2, -0.4, 0.9])
    return tuple(distribution(space, jnp.array(vector)) for vector in vectors)


def joints():
    vectors = (jnp.linspace(-1, 1, 8), jnp.cos(jnp.arange(8.0)))
    deviations = (jnp.array([0.1, -0.3, 0.5]), jnp.array([0.0, 0.2, 0.3]))
    return tuple(distribution(NESTED, pair) for pair in zip(vectors, deviations, strict=True))


PAIRS = [choices, numbers, bits, many_choices, joints]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("pair", "actions", "mode"),
    [
        (choices, jnp.arange(-1, 3), 1),
        (bits, jnp.array(list(itertools.product([0, 1], repeat=2))).reshape(4, 2, 1), [[1], [0]]),
        (many_choices, jnp.array(list(itertools.product([0, 1], [-1, 0, 1]))).reshape(6, 1, 2), [[0, -1]]),
    ],
)
def test_discrete_distributions_agree_with_enumeration(pair, actions, mode):
    one, other = pair()
    log, others = (jax.vmap(each.log_prob)(actions) for each in (one, other))
    close(jnp.exp(log).sum(), 1)
    close(one.entropy(), -(jnp.exp(log) * log).sum())
    close(one.divergence(other), (jnp.exp(log) * (log - others)).sum())
    np.testing.assert_array_equal(one.mode(), mode)
    close(one.log_prob(one.mode()), log.max())


def test_categorical_has_the_hand_worked_numbers():
    found = Categorical(jnp.log(jnp.array([1.0, 2.0, 1.0])), 5)
    close([found.log_prob(jnp.array(action)) for action in (5, 6, 7)], np.log([0.25, 0.5, 0.25]))
    close(found.entropy(), 1.5 * np.log(2))


def test_bernoulli_has_the_hand_worked_numbers():
    found, fair = Bernoulli(jnp.log(jnp.array([3.0, 1.0]))), Bernoulli(jnp.zeros(2))
    close(found.log_prob(jnp.array([1, 0])), np.log(3 / 4 * 1 / 2))
    close(found.log_prob(jnp.array([0, 1])), np.log(1 / 4 * 1 / 2))
    close(found.entropy(), 2 * np.log(2) - 0.75 * np.log(3) + np.log(2))
    close(found.divergence(fair), 0.75 * np.log(3) - np.log(2))


def test_bernoulli_agrees_with_scipy():
    one, _ = bits()
    probs = np.asarray(jax.nn.sigmoid(one.logits))
    action = np.array([[1], [0]])
    close(one.log_prob(jnp.asarray(action)), scipy.stats.bernoulli.logpmf(action, probs).sum())
    close(one.entropy(), scipy.stats.bernoulli.entropy(probs).sum())


def test_bernoulli_is_finite_at_extreme_logits():
    sure, other = Bernoulli(jnp.array([800.0, -800.0])), Bernoulli(jnp.array([-800.0, 800.0]))
    close(sure.log_prob(jnp.array([1, 0])), 0)
    close(sure.log_prob(jnp.array([0, 1])), -1600)
    close(sure.entropy(), 0)
    close(sure.divergence(other), 1600)
    assert np.isfinite(jax.grad(lambda logits: Bernoulli(logits).entropy())(sure.logits)).all()


def test_gaussian_agrees_with_scipy():
    one, _ = numbers()
    normal = scipy.stats.norm(np.asarray(one.mean), np.exp(np.asarray(one.log_std)))
    close(one.log_prob(jnp.array([0.7, 0.1])), normal.logpdf([0.7, 0.1]).sum())
    close(one.entropy(), normal.entropy().sum())


def test_joint_sums_over_its_parts():
    one, other = joints()
    vector, log_std = np.linspace(-1, 1, 8), np.array([0.1, -0.3, 0.5])
    by_hand = {
        "a": Bernoulli(jnp.array(vector[:2, None])),
        "b": (Categorical(jnp.array(vector[2:5]), 1), Gaussian(jnp.array(vector[5:7]), jnp.array(log_std[:2]))),
        "c": Gaussian(jnp.array(vector[7]), jnp.array(log_std[2])),
    }
    action = {"a": jnp.array([[1], [0]]), "b": (jnp.array(3), jnp.array([0.2, 0.4])), "c": jnp.array(-0.3)}
    parts = [(by_hand["a"], action["a"]), (by_hand["c"], action["c"])]
    parts += list(zip(by_hand["b"], action["b"], strict=True))
    close(one.log_prob(action), sum(float(part.log_prob(x)) for part, x in parts))
    close(one.entropy(), sum(float(part.entropy()) for part, _ in parts))
    pairs = zip(jax.tree.leaves(by_hand, is_leaf=is_simple), jax.tree.leaves(other.parts, is_leaf=is_simple), strict=True)
    close(one.divergence(other), sum(float(mine.divergence(others)) for mine, others in pairs))
    close(one.log_prob(one.mode()), sum(float(part.log_prob(part.mode())) for part, _ in parts))


def is_simple(part):
    return isinstance(part, Bernoulli | Categorical | Gaussian)


@pytest.mark.parametrize("pair", PAIRS)
def test_samples_agree_with_log_prob_entropy_and_divergence(pair):
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


def test_gaussian_samples_have_its_moments():
    one, _ = numbers()
    samples = jax.vmap(one.sample)(jax.random.split(jax.random.key(1), 40_000))
    np.testing.assert_allclose(samples.mean(0), one.mean, atol=0.03)
    np.testing.assert_allclose(samples.std(0), jnp.exp(one.log_std), rtol=0.03)


def test_bernoulli_samples_have_its_frequencies():
    one, _ = bits()
    samples = jax.vmap(one.sample)(jax.random.split(jax.random.key(1), 40_000))
    np.testing.assert_allclose(samples.mean(0), jax.nn.sigmoid(one.logits), atol=0.01)


def test_parts_of_a_joint_are_drawn_independently():
    one = distribution(Tuple([Discrete(2), Discrete(2)]), jnp.zeros(4))
    left, right = jax.vmap(one.sample)(jax.random.split(jax.random.key(1), 40_000))
    np.testing.assert_allclose(np.bincount(2 * left + right) / 40_000, 0.25, atol=0.01)


def test_discrete_and_box_use_the_key_as_given():
    key, logits = jax.random.key(7), jnp.array([0.1, 0.5, -0.3])
    expected = 4 + jax.random.categorical(key, logits)
    assert int(distribution(Discrete(3, start=4), logits).sample(key)) == int(expected)
    mean, log_std = jnp.arange(6.0), jnp.linspace(-1, 1, 6)
    expected = mean + jnp.exp(log_std) * jax.random.normal(key, (2, 3)).ravel()
    found = distribution(Box(-1.0, 1.0, (2, 3)), (mean, log_std)).sample(key)
    np.testing.assert_array_equal(found.ravel(), expected)


def test_a_joint_samples_the_same_inside_and_outside_of_compiled_programs():
    one, _ = joints()
    key = jax.random.key(2)
    inside = eqx.filter_jit(lambda one, key: one.sample(key))(one, key)
    assert jax.tree.all(jax.tree.map(lambda a, b: np.allclose(a, b, atol=1e-12), one.sample(key), inside))


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_new_head_has_no_preference(space):
    head = PolicyHead(8, space, key=jax.random.key(0))
    found = distribution(space, head(jnp.ones(8)))
    uniform = distribution(space, jax.tree.map(jnp.zeros_like, head(jnp.ones(8))))
    assert float(found.divergence(uniform)) < 1e-3
    assert float(found.entropy()) == pytest.approx(float(uniform.entropy()), abs=1e-3)
    for action in (found.sample(jax.random.key(1)), found.mode()):
        if not log_std_size(space):
            assert space.contains(jax.tree.map(np.asarray, action))
    np.testing.assert_array_equal(jax.tree.leaves(head.linear)[1], 0)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_every_part_of_the_output_of_a_head_matters(space):
    head = PolicyHead(8, space, key=jax.random.key(0))
    action = distribution(space, head(jnp.ones(8))).sample(jax.random.key(1))
    gradient = eqx.filter_grad(lambda head: distribution(space, head(jnp.ones(8))).log_prob(action))(head)
    assert all((np.asarray(leaf) != 0).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize(("space", "size", "deviations"), [(Discrete(5, start=2), 5, 0), (Box(-1.0, 1.0, (2, 3)), 6, 6)])
def test_heads_begin_as_small_linear_layers(space, size, deviations):
    head = PolicyHead(8, space, key=jax.random.key(0))
    weight = 0.01 * eqx.nn.Linear(8, size, key=jax.random.key(0)).weight
    np.testing.assert_array_equal(head.linear.weight, weight)
    assert (head.log_std is None) == (deviations == 0)
    assert (parameter_size(space), log_std_size(space)) == (size, deviations)
    output = head(jnp.ones(8))
    np.testing.assert_array_equal(output[0] if deviations else output, weight @ jnp.ones(8))


def test_the_sizes_of_a_joint_are_sums():
    assert (parameter_size(NESTED), log_std_size(NESTED)) == (8, 3)
    assert isinstance(distribution(NESTED, (jnp.zeros(8), jnp.zeros(3))), Joint)
    assert isinstance(distribution(SPACES[4], jnp.zeros(15)), MultiCategorical)


def test_an_actor_critic_head_gives_policy_and_value():
    policy, value = PolicyHead(8, NESTED, key=jax.random.key(0)), ValueHead(8, key=jax.random.key(1))
    output = ActorCriticHead(policy, value)(jnp.ones(8))
    assert isinstance(output, ActorCriticOutput)
    assert output.value.shape == ()
    linear = eqx.nn.Linear(8, 1, key=jax.random.key(1))
    np.testing.assert_array_equal(output.value, linear(jnp.ones(8))[0])
    check_policy_output(NESTED, output.policy)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_the_output_of_a_head_is_accepted(space):
    head = PolicyHead(8, space, key=jax.random.key(0))
    check_policy_output(space, jax.eval_shape(head, jnp.ones(8)))
    check_policy_output(space, head(jnp.ones(8)))


@pytest.mark.parametrize(
    ("space", "output", "wanted"),
    [
        (Discrete(3), jnp.zeros(4), "a vector of 3 floats"),
        (Discrete(3), jnp.zeros((1, 3)), "a vector of 3 floats"),
        (Discrete(3), jnp.zeros(3, int), "a vector of 3 floats"),
        (Discrete(3), (jnp.zeros(3),), "a vector of 3 floats"),
        (Discrete(3), [jnp.zeros(3)], "a vector of 3 floats"),
        (Discrete(3), ActorCriticOutput(jnp.zeros(3), jnp.zeros(())), "a vector of 3 floats"),
        (Box(0.0, 1.0, (2,)), jnp.zeros(2), r"a pair \(vector of 2, log_std of 2\) floats"),
        (Box(0.0, 1.0, (2,)), (jnp.zeros(2), jnp.zeros(1)), r"a pair \(vector of 2, log_std of 2\) floats"),
        (NESTED, (jnp.zeros(8), jnp.zeros(8)), r"a pair \(vector of 8, log_std of 3\) floats"),
    ],
)
def test_control_outputs_that_do_not_fit_are_refused(space, output, wanted):
    with pytest.raises(InputError, match=rf"The policy's output is .* needs {wanted}: end the policy with PolicyHead"):
        check_policy_output(space, output)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Box(0, 255, (3,), np.uint8), r"action_space=Box\(.*over a Box of integers; give Discrete or MultiDiscrete"),
        (Dict(a=Box(0, 9, (3,), np.int64)), r"action_space\['a'\]=Box\(.*over a Box of integers"),
        (Text(3), r"action_space=Text\(.*over Text spaces, whose elements have no fixed shape; give Discrete"),
        (Tuple([Discrete(2), Sequence(Discrete(2))]), r"action_space\[1\]=Sequence\(.*over Sequence spaces"),
        (Dict(g=Graph(Discrete(2), None)), r"action_space\['g'\]=Graph\(.*over Graph spaces"),
        (Dict(), r"action_space=Dict\(\): there is nothing to choose"),
    ],
    ids=str,
)
def test_control_other_actions_are_refused(space, message):
    for refused in (lambda: PolicyHead(8, space, key=jax.random.key(0)), lambda: distribution(space, jnp.zeros(8))):
        with pytest.raises(InputError, match=message):
            refused()


@pytest.mark.parametrize("make", [lambda n, key: PolicyHead(n, Discrete(2), key=key), lambda n, key: ValueHead(n, key=key)])
def test_control_heads_without_features_are_refused(make):
    with pytest.raises(InputError, match=r"Head\(features=0\): .* give a whole number of at least 1"):
        make(0, jax.random.key(0))
