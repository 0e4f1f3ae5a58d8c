"""Trials: episodes in one world, and the worlds that they are played in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from engram import InputError
from engram.envs import Bandit, Curriculum, GaussianBandit, Ladder, NoisyRecall, Previous, TabularMDP, TMaze, Trials


def played(env, actions, key):
    """What is seen before each action, the states, and what came of it."""

    def one(play, action):
        following, feedback = env.act(play, action)
        return following, (env.observe(play.state), play, feedback)

    return jax.lax.scan(one, env.begin(key), actions)[1]


def test_a_world_lasts_for_a_trial():
    seen, play, feedback = played(Trials(Bandit(3), 4), jnp.zeros(10, int), jax.random.key(0))
    means = np.asarray(jax.vmap(Bandit(3).means)(play.state.state))
    assert (means[:5] == means[0]).all()
    assert (means[5:] == means[5]).all()
    assert (means[0] != means[5]).all()
    assert seen["ended"][:, 0].tolist() == [0, 1, 1, 1, 1, 0, 1, 1, 1, 1]
    assert feedback.terminated.tolist() == 2 * [False, False, False, True, False]
    assert play.first.tolist() == [step in (0, 5) for step in range(10)]


def test_episodes_of_a_trial_begin_where_episodes_begin():
    env = Trials(TabularMDP(5, 2, 3), 2)
    seen, play, feedback = played(env, jnp.zeros(7, int), jax.random.key(1))
    places, ended = np.asarray(seen["observation"]), seen["ended"][:, 0].tolist()
    assert places[[0, 3]].tolist() == [0, 0]
    assert ended == [0, 0, 0, 1, 0, 0, 1]
    assert play.state.state.time.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert feedback.terminated.tolist() == [False] * 5 + [True, False]


def test_what_is_drawn_in_each_episode_is_drawn_anew():
    hints = played(Trials(TMaze(2), 40), jnp.zeros(80, int), jax.random.key(2))[0]["observation"][::2, 0]
    assert 8 < (hints > 0).sum() < 32


def test_rl2_sees_what_it_did_and_what_came_of_it():
    def seen(none):
        env = Previous(Trials(Bandit(2), 3), none=none)
        return played(env, jnp.array([1, 0, 1]), jax.random.key(3))

    told, _, feedback = seen(True)
    assert told["action"].tolist() == [0, 2, 1]
    np.testing.assert_array_equal(told["reward"][1:], feedback.reward[:-1])
    assert seen(False)[0]["action"].tolist() == [0, 1, 0]


def test_a_curriculum_grows_under_other_wrappers():
    env = Previous(Curriculum(NoisyRecall(9), "length", 5, 2, threshold=-20.0, episodes=1))
    levels = played(env, jnp.zeros(30, int), jax.random.key(4))[1].state.state.level
    assert levels[0] == 5
    assert levels[-1] == 9


def test_worlds_are_drawn_from_their_prior():
    def drawn(env):
        look = env.mdp if isinstance(env, TabularMDP) else env.means
        return jax.jit(jax.vmap(lambda key: look(env.reset(key))))(jax.random.split(jax.random.key(5), 4000))

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


def test_what_happens_is_drawn_from_its_world():
    env = TabularMDP(4, 2, noise=0.5)
    start = env.reset(jax.random.key(6))
    world = env.mdp(start)
    keys = jax.random.split(jax.random.key(7), 20_000)
    following, feedback = jax.vmap(lambda key: env.step(start, jnp.array(1), key))(keys)
    frequencies = np.bincount(following.place, minlength=4) / len(keys)
    np.testing.assert_allclose(frequencies, world.transitions[0, 1], atol=0.02)
    np.testing.assert_allclose([feedback.reward.mean(), feedback.reward.std()], [world.rewards[0, 1], 0.5], atol=0.02)
    assert abs(np.corrcoef(following.place, feedback.reward)[0, 1]) < 0.03


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bandit(0), "give arms >= 1"),
        (lambda: Bandit(2, wins=0.0), "no parameters of a Beta"),
        (lambda: GaussianBandit(2, noise=-1.0), "no standard deviations"),
        (lambda: TabularMDP(states=0), "give 1 at least of each"),
        (lambda: TabularMDP(concentration=0.0), "Dirichlet"),
        (lambda: TabularMDP(noise=-1.0), "no standard deviations"),
        (lambda: Trials(Ladder(), 0), "give episodes >= 1"),
    ],
)
def test_what_is_no_world_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
