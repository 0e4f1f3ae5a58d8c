"""Exploration: noise has the law of its equation, actions stay in their space, and a state resumes exactly."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from states import identical, restored

from farback.agents import (
    AbstractExploration,
    EpsilonGreedy,
    GaussianNoise,
    LinearSchedule,
    NoExploration,
    OrnsteinUhlenbeck,
)
from farback.envs.spaces import contains, parts, sample
from farback.ops.schedules import at_update, with_array_numbers
from farback.runs.expressions import express
from farback.runs.kinds import build
from farback.types import InputError

COPIES = 20_000
NUMBER, PAIR = Box(-np.inf, np.inf, ()), Box(-1.0, 1.0, (2,))
MIXED = Dict(force=PAIR, gear=Discrete(3, start=1), rest=Tuple([Box(0.0, 2.0, ()), MultiBinary(2)]))
CONTINUOUS = [GaussianNoise(0.3), OrnsteinUhlenbeck(0.5, 0.3), OrnsteinUhlenbeck(0.5, 0.3, reset=False)]
ALL = [*CONTINUOUS, EpsilonGreedy(0.3), NoExploration()]


def explored(exploration, space, action, steps, state=None, since=0, copies=COPIES):
    """The states after each step, and the actions, of copies that explore around one action; axes `[steps, copies]`."""
    if state is None:
        state = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (copies, *leaf.shape)), exploration.initial(space))

    def one(state, time):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), time), copies)
        state, found = jax.vmap(lambda state, key: exploration(space, state, action, time == 0, key))(state, keys)
        return state, (state, found)

    return jax.jit(lambda: jax.lax.scan(one, state, since + jnp.arange(steps))[1])()


def assert_near(found, expected, bound=5 / math.sqrt(COPIES)):
    """Compares an estimate with its expected value, by default within five standard errors of a mean of variance 1."""
    assert abs(found - expected) < bound, f"{found} is not {expected} within {bound}"


class Euler(AbstractExploration):
    """The Euler step of the same equation: a control."""

    theta: float
    sigma: float
    dt: float

    def initial(self, space):
        return jnp.zeros(1)

    def __call__(self, space, state, action, first, key):
        noise = (1 - self.theta * self.dt) * state + self.sigma * math.sqrt(self.dt) * jax.random.normal(key, (1,))
        return noise, action + noise[0]


def law(made, dt):
    """The errors of the variance after times of 1 and 20 and of the correlation over a time of 1, in standard errors."""
    noise = np.asarray(explored(made, NUMBER, jnp.zeros(()), round(21 / dt))[1])
    one, late, later = (noise[round(time / dt) - 1] for time in (1, 20, 21))
    stationary, decay = made.sigma**2 / (2 * made.theta), math.exp(-made.theta)
    pairs = [
        (np.mean(one**2) / stationary, 1 - decay**2),
        (np.mean(late**2) / stationary, 1),
        (np.mean(late * later) / stationary, decay),
    ]
    return [abs(found - expected) / math.sqrt(2 / COPIES) for found, expected in pairs]


@pytest.mark.parametrize("dt", [1.0, 0.5, 0.25])
def test_ornstein_uhlenbeck_has_the_variance_and_correlation_of_its_equation_for_every_dt(dt):
    assert max(law(OrnsteinUhlenbeck(0.5, 0.8, dt), dt)) < 5


def test_control_the_euler_step_depends_on_dt():
    assert max(law(Euler(0.5, 0.8, 1.0), 1.0)) > 20
    assert max(law(Euler(0.5, 0.8, 1 / 16), 1 / 16)) < 5


def test_ornstein_uhlenbeck_by_hand(key):
    state, action, drawn = jnp.array([0.3, -0.2]), jnp.array([0.1, 0.5]), jax.random.normal(key, (2,))
    after, found = OrnsteinUhlenbeck(0.7, 0.4, 0.1)(PAIR, state, action, False, key)
    scale = 0.4 * math.sqrt((1 - math.exp(-0.14)) / 1.4)
    np.testing.assert_allclose(after, math.exp(-0.07) * state + scale * drawn, rtol=1e-12)
    np.testing.assert_allclose(found, action + after, rtol=1e-12)
    after, _ = OrnsteinUhlenbeck(-math.log(0.85), 0.2 * math.sqrt(-2 * math.log(0.85) / 0.2775))(
        PAIR, state, action, False, key
    )
    np.testing.assert_allclose(after, 0.85 * state + 0.2 * drawn, rtol=1e-12, err_msg="the Euler step of the docstring")
    assert round(-math.log(0.85), 4) == 0.1625
    assert round(math.sqrt(-2 * math.log(0.85) / 0.2775), 3) == 1.082


@pytest.mark.parametrize("first", [True, jnp.array(True), np.bool_(False)])
@pytest.mark.parametrize("reset", [True, False])
def test_ornstein_uhlenbeck_begins_at_0_in_each_episode_only_with_reset(reset, first, key):
    made = OrnsteinUhlenbeck(reset=reset)
    after, _ = made(PAIR, jnp.full(2, 100.0), jnp.zeros(2), first, key)
    fresh, _ = made(PAIR, jnp.zeros(2), jnp.zeros(2), first, key)
    np.testing.assert_allclose(after - fresh, 0 if reset and first else 100 * math.exp(-0.15), rtol=1e-12)


def test_gaussian_noise_is_independent_in_time():
    noise = np.asarray(explored(GaussianNoise(0.3), NUMBER, jnp.array(2.0), 2)[1]) - 2
    assert_near(np.mean(noise[0] ** 2) / 0.09, 1, 5 * math.sqrt(2 / COPIES))
    assert_near(np.mean(noise), 0)
    assert_near(np.mean(noise[0] * noise[1]) / 0.09, 0)


@pytest.mark.parametrize("made", ALL, ids=str)
def test_actions_stay_in_their_space(made):
    action = sample(MIXED, jax.random.key(0))
    found = explored(made, MIXED, action, 30, copies=100)[1]
    assert jax.tree.structure(found) == jax.tree.structure(action)
    for (space, values), (_, one) in zip(parts(MIXED, found), parts(MIXED, action), strict=True):
        assert contains(space, values, (30, 100))
        assert values.dtype == one.dtype


@pytest.mark.parametrize("made", CONTINUOUS, ids=str)
def test_noise_moves_every_number_of_an_action_and_no_choice(made):
    action = {"force": jnp.array([0.5, 0.0]), "gear": jnp.array(2), "rest": (jnp.array(1.0), jnp.array([0, 1]))}
    found = explored(made, MIXED, action, 1)[1]
    numbers = np.column_stack([found["force"][0], found["rest"][0][0]])
    np.testing.assert_allclose(np.corrcoef(numbers.T), np.eye(3), atol=5 / math.sqrt(COPIES))
    assert (numbers != [0.5, 0.0, 1.0]).all(axis=0).mean() > 0.9
    assert (found["gear"] == 2).all()
    assert (found["rest"][1] == action["rest"][1]).all()


@pytest.mark.parametrize("made", [GaussianNoise(100.0), OrnsteinUhlenbeck(sigma=100.0)], ids=str)
def test_noise_is_clipped_to_the_bounds_on_both_sides(made):
    state, found = explored(made, PAIR, jnp.zeros(2), 1)
    assert (found.min(), found.max()) == (-1, 1)
    assert_near(float(np.mean(found)), 0, 5 / math.sqrt(2 * COPIES))
    assert all(abs(leaf).max() > 100 for leaf in jax.tree.leaves(state)), "the state of the noise is not clipped"


DISCRETE = {
    "Discrete": (Discrete(4, start=2), 3, 4),
    "MultiDiscrete": (MultiDiscrete([2, 3]), [1, 0], 6),
    "MultiBinary": (MultiBinary(2), [0, 1], 4),
    "Dict": (Dict(gear=Discrete(3), side=Discrete(2)), {"gear": 1, "side": 0}, 6),
}


def frequencies(made, space, action):
    """The frequency of the action of the policy, and those of the others."""
    action = jax.tree.map(jnp.asarray, action, is_leaf=lambda leaf: isinstance(leaf, list))
    found = explored(made, space, action, 1)[1]
    rows = np.column_stack([np.asarray(leaf[0]).reshape(COPIES, -1) for leaf in jax.tree.leaves(found)])
    chosen = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(action)])
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    policy = (kinds == chosen).all(axis=1)
    return counts[policy].sum() / COPIES, counts[~policy] / COPIES


@pytest.mark.parametrize(("space", "action", "count"), DISCRETE.values(), ids=DISCRETE)
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_epsilon_greedy_takes_the_other_actions_equally_often(epsilon, space, action, count):
    policy, others = frequencies(EpsilonGreedy(epsilon), space, action)
    for found, expected in [(policy, 1 - epsilon + epsilon / count), *((one, epsilon / count) for one in others)]:
        assert_near(found, expected, 5 * math.sqrt(expected * (1 - expected) / COPIES) + 1e-12)
    assert len(others) == (count - 1 if epsilon else 0)


def test_control_another_epsilon_is_found():
    policy, _ = frequencies(EpsilonGreedy(0.33), Discrete(4), 1)
    with pytest.raises(AssertionError, match="is not"):
        assert_near(policy, 1 - 0.3 * 3 / 4, 5 * math.sqrt(0.225 * 0.775 / COPIES))


def test_epsilon_greedy_replaces_a_whole_action():
    action = {"force": jnp.array([0.5, 0.0]), "gear": jnp.array(2), "rest": (jnp.array(1.0), jnp.array([0, 1]))}
    found = explored(EpsilonGreedy(0.3), MIXED, action, 1)[1]
    force, rest = np.asarray(found["force"][0] != action["force"]), np.asarray(found["rest"][0][0] != 1)
    np.testing.assert_array_equal(force[:, 0], rest)
    np.testing.assert_array_equal(force[:, 1], rest)
    assert (found["gear"][0] == 2)[~rest].all()
    assert_near(rest.mean(), 0.3, 5 * math.sqrt(0.21 / COPIES))


class Learner(eqx.Module):
    """An algorithm with exploration."""

    exploration: AbstractExploration


def test_epsilon_greedy_follows_a_schedule():
    learner = with_array_numbers(Learner(EpsilonGreedy(LinearSchedule(1.0, 0.0, 10))))
    assert [float(at_update(learner, jnp.array(updates)).exploration.epsilon) for updates in (0, 5, 20)] == [1, 0.5, 0]
    policy, _ = frequencies(at_update(learner, jnp.array(5)).exploration, Discrete(2), 1)
    assert_near(policy, 0.75, 5 * math.sqrt(0.75 * 0.25 / COPIES))
    with pytest.raises(InputError, match="call at_update"):
        learner.exploration(Discrete(2), (), jnp.array(1), True, jax.random.key(0))


@pytest.mark.parametrize("made", ALL, ids=str)
def test_numbers_may_be_arrays_of_the_program(made):
    arrays = with_array_numbers(Learner(made)).exploration
    assert all(isinstance(leaf, jax.Array | bool) for leaf in jax.tree.leaves(arrays))
    action = sample(MIXED, jax.random.key(0))
    one, other = (explored(each, MIXED, action, 5, copies=3)[1] for each in (made, arrays))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-12), one, other)


@pytest.mark.parametrize("made", CONTINUOUS[1:], ids=str)
def test_state_resumes_exactly(made):
    states, actions = explored(made, PAIR, jnp.zeros(2), 20, copies=3)
    middle = restored(states[11])
    later = explored(made, PAIR, jnp.zeros(2), 8, middle, since=12, copies=3)
    assert identical(later, (states[12:], actions[12:]))
    lost = explored(made, PAIR, jnp.zeros(2), 8, jnp.zeros_like(middle), since=12, copies=3)
    assert not identical(lost, later), "control: without its state, the noise is another"


BAD = [
    (lambda: GaussianNoise().initial(Discrete(3)), r"GaussianNoise: Discrete\(3\) has no Box of floats.*EpsilonGreedy"),
    (lambda: OrnsteinUhlenbeck().initial(MultiBinary(2)), "OrnsteinUhlenbeck: .* has no Box of floats"),
    (lambda: GaussianNoise().initial(Box(0, 9, (2,), np.int32)), "has no Box of floats"),
    (lambda: EpsilonGreedy().initial(PAIR), r"EpsilonGreedy: all actions of .* are continuous.*give OrnsteinUhlenbeck\(\)"),
    (lambda: EpsilonGreedy().initial(Dict(force=PAIR, write=PAIR)), "are continuous"),
    (lambda: GaussianNoise(-1.0), r"GaussianNoise\(std=-1.0\): give a finite std >= 0"),
    (lambda: OrnsteinUhlenbeck(theta=0.0), "give finite theta > 0"),
    (lambda: OrnsteinUhlenbeck(sigma=-1.0), "sigma >= 0"),
    (lambda: OrnsteinUhlenbeck(dt=math.inf), "dt > 0"),
    (lambda: EpsilonGreedy(1.1), r"EpsilonGreedy\(epsilon=1.1\): .*give 0 <= epsilon <= 1"),
    (lambda: EpsilonGreedy(LinearSchedule(1.0, -0.1, 5)), "give 0 <= epsilon <= 1"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[message for _, message in BAD])
def test_exploration_that_cannot_work_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    "made", [*ALL, EpsilonGreedy(LinearSchedule(1.0, 0.05, 1000)), OrnsteinUhlenbeck(7.5, 1.5, 0.01, False)], ids=str
)
def test_exploration_is_an_expression(made):
    assert build(express(made), AbstractExploration) == made
