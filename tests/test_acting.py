"""Policies and rollouts. A replay of a rollout, all steps at once, reproduces every output of the acting network."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import CELLS, INPUTS
from tiers import slow_except

from farback.acting import RandomPolicy, evaluate, reset_envs, rollout, watch
from farback.acting.rollout import initial_states
from farback.agents import ActorCriticNetwork, ActorCriticPolicy
from farback.agents.on_policy import bootstrap_value
from farback.cell import unroll
from farback.cells import Chain
from farback.envs import Gymnasium, HighLow, Ladder, PreviousActionReward, TMaze
from farback.envs.spaces import contains
from farback.ops.distributions import distribution

BATCH, STEPS = 3, 23
ENVS = {"TMaze": TMaze(4, extra=3), "HighLow": PreviousActionReward(HighLow(5)), "Ladder": Ladder(3, horizon=4)}


def cell_of(kind):
    def make(size, *, key):
        return Chain(eqx.nn.Linear(size, INPUTS, key=jax.random.fold_in(key, 1)), jnp.tanh, CELLS[kind](key))

    return make


def make_policy(env, kind="GRU", shared=False, greedy=False, seed=1):
    """A policy whose actions are far from equally likely."""
    network = ActorCriticNetwork(cell_of(kind), shared_memory=shared)(env, key=jax.random.key(seed))
    weights = (lambda net: net.head.policy.linear.weight) if shared else lambda net: net.policy.head.linear.weight
    return ActorCriticPolicy(eqx.tree_at(weights, network, replace_fn=lambda weight: 100 * weight), env, greedy)


@eqx.filter_jit
def collect(policy, key=0, length=STEPS):
    reset_key, act_key = jax.random.split(jax.random.key(key))
    state = initial_states(policy, BATCH)
    return state, *rollout(policy.env, policy, state, reset_envs(policy.env, BATCH, reset_key), act_key, length)


@eqx.filter_jit
def replay(policy, state, steps, first):
    """The log-probabilities of the actions, and the values."""
    network = policy.network
    seen = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), steps.observation)
    features = jax.vmap(jax.vmap(network.encoder))(seen)
    output = unroll(network.memory, state, first.T, features, jnp.ones(first.T.shape))[1]
    found = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), jax.vmap(jax.vmap(network.head))(output))

    def log_prob(output, action):
        return distribution(policy.env.action_space, output).log_prob(action)

    return jax.vmap(jax.vmap(log_prob))(found.policy, steps.action), found


@pytest.mark.parametrize("kind", slow_except(("GRU", "RTU"), ("GRU", "RTU", "LSTM", "LRU", "GTrXL", "DeltaNet", "AMRL")))
def test_rollout_replay_is_acting(kind):
    """Environments, and a memory that policy and value share, alternate over the cells."""
    index = list(CELLS).index(kind)
    policy = make_policy(list(ENVS.values())[index % len(ENVS)], kind, shared=index % 2 == 1)
    start, state, envs, steps, _ = collect(policy)
    assert int(steps.first.sum()) > BATCH, "an episode should begin within the rollout"
    log_prob, output = replay(policy, start, steps, steps.first)
    np.testing.assert_allclose(jnp.exp(log_prob - steps.extras.log_prob), 1, rtol=1e-10)
    np.testing.assert_allclose(output.value, steps.extras.value, rtol=1e-10, atol=1e-12)
    longer = collect(policy, length=STEPS + 1)[3]
    after = eqx.filter_jit(bootstrap_value)(policy, state, envs)
    np.testing.assert_allclose(after, longer.extras.value[:, -1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ENVS)
def test_rollout_replay_control_ends_in_place_of_first(name):
    """`terminated | truncated` in place of `first` resets memories one step too early, which the law detects."""
    policy = make_policy(ENVS[name])
    start, _, _, steps, _ = collect(policy)
    log_prob, _ = replay(policy, start, steps, steps.terminated | steps.truncated)
    assert float(jnp.abs(jnp.exp(log_prob - steps.extras.log_prob) - 1).max()) > 1e-3


def test_rollout_statistics_are_those_of_finished_episodes():
    _, _, envs, steps, statistics = collect(make_policy(Ladder(3, horizon=4), seed=2))
    returns, lengths = [], []
    for reward, last, ended in zip(steps.reward, steps.last, steps.terminated | steps.truncated, strict=True):
        total, length = 0.0, 0
        for time in range(STEPS):
            total, length = total + float(reward[time]), length + (not last[time])
            if ended[time]:
                returns, lengths = [*returns, total], [*lengths, length]
                total, length = 0.0, 0
    assert float(statistics["episodic_return"].count) == len(returns)
    np.testing.assert_allclose(statistics["episodic_return"].total, sum(returns), atol=1e-12)
    np.testing.assert_allclose(statistics["episodic_length"].mean, np.mean(lengths))
    assert np.all(envs.episode_length < 4)


def test_rollout_of_one_environment_is_independent_of_the_others():
    policy = make_policy(TMaze(4, extra=3), seed=3)
    state, envs = initial_states(policy, BATCH), reset_envs(policy.env, BATCH, jax.random.key(0))
    keys = jax.random.split(jax.random.key(5), BATCH)
    together = rollout(policy.env, policy, state, envs, keys, 9)[2]
    alone = rollout(policy.env, policy, *jax.tree.map(lambda leaf: leaf[1:2], (state, envs, keys)), 9)[2]
    np.testing.assert_array_equal(alone.action, together.action[1:2])
    np.testing.assert_array_equal(alone.reward, together.reward[1:2])
    np.testing.assert_allclose(alone.extras.value, together.extras.value[1:2], rtol=1e-12)


def test_policy_greedy_takes_the_most_likely_action():
    policy = make_policy(TMaze(4), seed=3, greedy=True)
    state, envs = initial_states(policy, BATCH), reset_envs(policy.env, BATCH, jax.random.key(0))
    one, other = (rollout(policy.env, policy, state, envs, jax.random.key(key), 9)[2] for key in (1, 2))
    np.testing.assert_array_equal(one.action, other.action)
    np.testing.assert_array_equal(one.action, jnp.argmax(replay(policy, state, one, one.first)[1].policy, axis=-1))


@pytest.mark.parametrize("name", ENVS)
def test_policy_stepped_by_hand_is_rollout(name):
    """A Python loop over NumPy observations, as a user writes it, takes the actions of the compiled rollout."""
    policy = make_policy(ENVS[name])
    _, _, _, steps, _ = collect(policy, length=8)
    seen, first = jax.tree.map(np.asarray, (steps.observation, steps.first))
    key = jax.random.split(jax.random.split(jax.random.key(0))[1], BATCH)[1]
    state = policy.initial()
    for time in range(8):
        now = jax.tree.map(lambda leaf, time=time: leaf[1, time], seen)
        state, action, extras = policy(state, now, bool(first[1, time]), jax.random.fold_in(key, time))
        np.testing.assert_allclose(action, steps.action[1, time], rtol=1e-12)
        np.testing.assert_allclose(extras.value, steps.extras.value[1, time], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(extras.log_prob, steps.extras.log_prob[1, time], rtol=1e-10)


def test_policy_random_is_uniform():
    env = TMaze(4)
    policy = RandomPolicy(env)
    state, action, extras = policy(policy.initial(), env.observe(env.reset(jax.random.key(0))), True, jax.random.key(1))
    assert (state, extras) == ((), ())
    assert contains(env.action_space, action)
    actions = rollout(env, policy, (), reset_envs(env, 8, jax.random.key(0)), jax.random.key(1), 500)[2].action
    assert abs(float(actions.mean()) - 0.5) < 4 * 0.5 / np.sqrt(actions.size)


def test_evaluate_counts_every_episode_once():
    """Corridors of 4, 5 and 6 steps are equally frequent, although the short ones end first."""
    env = TMaze(4, extra=2)
    found = eqx.filter_jit(evaluate)(env, RandomPolicy(env), jax.random.key(0), 3000)
    assert np.isin(found.returns, (-3, 4)).all()
    assert abs(found.lengths.mean() - 5) < 4 * np.sqrt(2 / 3 / 3000)
    assert abs(found.returns.mean() - env.random) < 4 * 3.5 / np.sqrt(3000)


def test_evaluate_scores_more_episodes_than_hosted_copies_in_turn():
    """Each step of this pole has reward 1, so that the return of each episode is its length."""
    env = Gymnasium("CartPole-v1")
    found = eqx.filter_jit(evaluate)(env, RandomPolicy(env), jax.random.key(0), 70)
    assert found.returns.shape == (70,)
    np.testing.assert_array_equal(found.returns, found.lengths)
    assert 15 < found.lengths.mean() < 35
    assert len(set(found.lengths.tolist())) > 10, "control: episodes differ"


def test_evaluate_abandons_long_episodes():
    env = TMaze(4, extra=2)
    found = evaluate(env, RandomPolicy(env), jax.random.key(0), 50, max_steps=5)
    assert np.isnan(found.returns[found.lengths == 5]).any(), "corridors of 6 steps"
    assert np.isfinite(found.returns[found.lengths < 5]).all()
    assert found.lengths.max() == 5


def test_watch_records_the_states_of_each_step():
    policy = make_policy(TMaze(4, extra=2))
    found = eqx.filter_jit(functools.partial(watch, steps=12))(policy.env, policy, jax.random.key(0))
    assert found.steps.first[0]
    np.testing.assert_array_equal(found.cue, found.steps.first)
    np.testing.assert_array_equal(found.steps.observation, jax.vmap(policy.env.observe)(found.world))
    state = policy.initial()
    for time in range(12):
        state, _ = policy.outputs(state, found.steps.observation[time], found.steps.first[time])
        now = jax.tree.map(lambda leaf, time=time: leaf[time], found.policy_state)
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-12), now, state)
