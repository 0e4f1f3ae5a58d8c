"""Trials: episodes that share a world, and the priors of worlds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from farback.envs import Bandit, GaussianBandit, Ladder, PreviousActionReward, TabularMDP, TMaze, Trials
from farback.types import InputError

pytestmark = pytest.mark.slow


def rollout(env, actions, key):
    """Returns the observation and the state before each action, and its feedback."""

    def one(state, action):
        following, feedback = env.auto_step(state, action)
        return following, (env.observe(state.state), state, feedback)

    return jax.lax.scan(one, env.auto_reset(key), actions)[1]


def test_world_is_the_same_within_a_trial():
    observation, state, feedback = rollout(Trials(Bandit(3), 4), jnp.zeros(10, int), jax.random.key(0))
    means = np.asarray(jax.vmap(Bandit(3).means)(state.state.state))
    assert (means[:5] == means[0]).all()
    assert (means[5:] == means[5]).all()
    assert (means[0] != means[5]).all()
    assert observation["ended"][:, 0].tolist() == [0, 1, 1, 1, 1, 0, 1, 1, 1, 1]
    assert feedback.terminated.tolist() == 2 * [False, False, False, True, False]
    assert state.first.tolist() == [step in (0, 5) for step in range(10)]


def test_inner_episodes_begin_at_the_start_state():
    env = Trials(TabularMDP(5, 2, 3), 2)
    observation, state, feedback = rollout(env, jnp.zeros(7, int), jax.random.key(1))
    cells, ended = np.asarray(observation["observation"]), observation["ended"][:, 0].tolist()
    assert cells[[0, 3]].tolist() == [0, 0]
    assert ended == [0, 0, 0, 1, 0, 0, 1]
    assert state.state.state.time.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert feedback.terminated.tolist() == [False] * 5 + [True, False]


def test_hints_are_drawn_for_each_episode_of_a_trial():
    hints = rollout(Trials(TMaze(2), 40), jnp.zeros(80, int), jax.random.key(2))[0]["observation"][::2, 0]
    assert 8 < (hints > 0).sum() < 32


def test_previous_action_and_reward_are_observed_across_inner_episodes():
    def observed(none):
        env = PreviousActionReward(Trials(Bandit(2), 3), none=none)
        return rollout(env, jnp.array([1, 0, 1]), jax.random.key(3))

    observation, _, feedback = observed(True)
    assert observation["action"].tolist() == [0, 2, 1]
    np.testing.assert_array_equal(observation["reward"][1:], feedback.reward[:-1])
    assert observed(False)[0]["action"].tolist() == [0, 1, 0]


def test_worlds_are_drawn_from_their_prior():
    def drawn(env):
        world = env.mdp if isinstance(env, TabularMDP) else env.means
        return jax.jit(jax.vmap(lambda key: world(env.reset(key))))(jax.random.split(jax.random.key(5), 4000))

    for env, mean, spread in (
        (Bandit(3), 1 / 2, 1 / np.sqrt(12)),
        (Bandit(3, wins=2.0, losses=6.0), 1 / 4, np.sqrt(12 / (64 * 9))),
        (GaussianBandit(3, mean=2.0, spread=0.5), 2.0, 0.5),
    ):
        means = drawn(env)
        np.testing.assert_allclose([means.mean(), means.std()], [mean, spread], atol=0.02)
    world = drawn(TabularMDP(4, 2, mean=-1.0, spread=3.0))
    np.testing.assert_allclose(world.transitions.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose([world.transitions.mean(), world.transitions.std()], [0.25, np.sqrt(3 / 80)], atol=0.01)
    np.testing.assert_allclose([world.rewards.mean(), world.rewards.std()], [-1, 3], atol=0.1)
    peaked = drawn(TabularMDP(4, 2, concentration=0.5)).transitions
    np.testing.assert_allclose([peaked.mean(), peaked.std()], [0.25, np.sqrt(3 / 48)], atol=0.01)


def test_transitions_and_rewards_are_drawn_from_the_world():
    env = TabularMDP(4, 2, noise=0.5)
    start = env.reset(jax.random.key(6))
    world = env.mdp(start)
    keys = jax.random.split(jax.random.key(7), 20_000)
    following, feedback = jax.vmap(lambda key: env.step(start, jnp.array(1), key))(keys)
    frequencies = np.bincount(following.state, minlength=4) / len(keys)
    np.testing.assert_allclose(frequencies, world.transitions[0, 1], atol=0.02)
    np.testing.assert_allclose([feedback.reward.mean(), feedback.reward.std()], [world.rewards[0, 1], 0.5], atol=0.02)
    assert abs(np.corrcoef(following.state, feedback.reward)[0, 1]) < 0.03


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bandit(0), "give arms >= 1"),
        (lambda: Bandit(2, wins=0.0), "a Beta distribution needs positive parameters"),
        (lambda: GaussianBandit(2, noise=-1.0), "these are standard deviations"),
        (lambda: TabularMDP(states=0), "give at least 1 of each"),
        (lambda: TabularMDP(concentration=0.0), "Dirichlet"),
        (lambda: TabularMDP(noise=-1.0), "these are standard deviations"),
        (lambda: Trials(Ladder(), 0), "give episodes >= 1"),
    ],
)
def test_arguments_without_sense_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
