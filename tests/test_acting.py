"""Replay is acting: what a model thinks of a whole rollout at once is what it thought when it acted, step by step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import CELLS, INPUTS, squared_error

import engram
from engram.agents.acting import begin, next_value, rollout
from engram.agents.distributions import PolicyHead, distribution
from engram.cells import Chain, Parallel
from engram.envs import HighLow, Ladder, Previous, TMaze
from engram.envs.spaces import width

BATCH, STEPS = 3, 23
ENVS = {"TMaze": TMaze(4, extra=3), "HighLow": Previous(HighLow(5)), "Ladder": Ladder(3, horizon=4)}


def make_model(env, kind, key, shared=False):
    keys = jax.random.split(key, 5)
    layers = [eqx.nn.Linear(width(env.observation_space), INPUTS, key=keys[0]), jnp.tanh]
    out = jax.eval_shape(lambda: (cell := CELLS[kind](keys[1]))(cell.initial(), jnp.zeros(INPUTS))[1]).shape[0]
    policy, value = PolicyHead(out, env.action_space, key=keys[2]), eqx.nn.Linear(out, 1, key=keys[3])
    policy = eqx.tree_at(lambda head: head.linear.weight, policy, 100 * policy.linear.weight)
    if shared:
        return Chain(*layers, CELLS[kind](keys[1]), Parallel(policy, value))
    return Parallel(Chain(*layers, CELLS[kind](keys[1]), policy), Chain(*layers, CELLS[kind](keys[4]), value))


def initial(model, batch):
    return engram.Supervised(squared_error).initial(model, batch)


def played(env, model, length=STEPS):
    @eqx.filter_jit
    def play(model, key):
        keys = jax.random.split(key)
        state = initial(model, BATCH)
        return state, *rollout(env, model, state, begin(env, BATCH, keys[0]), keys[1], length)

    return play(model, jax.random.key(0))


def replay(model, state, steps, first):
    @eqx.filter_jit
    def run(model, state, steps, first):
        time_major = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), steps.seen)
        _, (policy, value) = engram.cell.unroll(model, state, first.T, time_major, jnp.ones(first.T.shape))
        return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), (policy, value[..., 0]))

    return run(model, state, steps, first)


def log_probs(env, policy, action):
    each = jax.vmap(jax.vmap(lambda output, action: distribution(env.action_space, output).log_prob(action)))
    return each(policy, action)


@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
@pytest.mark.parametrize("kind", CELLS)
def test_replay_is_acting(kind, shared):
    name = list(ENVS)[list(CELLS).index(kind) % len(ENVS)]
    env = ENVS[name]
    model = make_model(env, kind, jax.random.key(1), shared)
    start, state, playing, steps, _ = played(env, model)
    assert int(steps.first.sum()) > BATCH, "an episode should begin within the rollout"
    policy, value = replay(model, start, steps, steps.first)
    ratio = jnp.exp(log_probs(env, policy, steps.action) - steps.log_prob)
    np.testing.assert_allclose(ratio, 1, rtol=1e-10)
    np.testing.assert_allclose(value, steps.value, rtol=1e-10, atol=1e-12)
    beyond = next_value(env, model, state, playing)
    _, _, _, longer, _ = played(env, model, STEPS + 1)
    np.testing.assert_allclose(beyond, longer.value[:, -1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ENVS)
def test_control_an_end_is_no_beginning(name):
    """`terminated | truncated` in place of `first` resets memories too early, and is seen."""
    env = ENVS[name]
    model = make_model(env, "GRU", jax.random.key(1))
    start, _, _, steps, _ = played(env, model)
    policy, _ = replay(model, start, steps, steps.terminated | steps.truncated)
    ratio = jnp.exp(log_probs(env, policy, steps.action) - steps.log_prob)
    assert float(jnp.abs(ratio - 1).max()) > 1e-3


def test_scores_are_those_of_the_episodes_that_ended():
    env = Ladder(3, horizon=4)
    _, _, playing, steps, scores = played(env, make_model(env, "GRU", jax.random.key(2)))
    returns, lengths = [], []
    for reward, over, ended in zip(steps.reward, steps.over, steps.terminated | steps.truncated, strict=True):
        total, length = 0.0, 0
        for time in range(STEPS):
            total, length = total + float(reward[time]), length + (not over[time])
            if ended[time]:
                returns, lengths = [*returns, total], [*lengths, length]
                total, length = 0.0, 0
    assert float(scores["episodic_return"].count) == len(returns)
    np.testing.assert_allclose(scores["episodic_return"].total, sum(returns), atol=1e-12)
    np.testing.assert_allclose(scores["episodic_length"].mean, np.mean(lengths))
    assert np.all(playing.length < 4)


def test_the_likeliest_action_is_taken_where_asked():
    env = TMaze(4)
    model = make_model(env, "GRU", jax.random.key(3))
    state, playing = initial(model, BATCH), begin(env, BATCH, jax.random.key(0))
    runs = [rollout(env, model, state, playing, jax.random.key(key), 9, greedy=True)[2] for key in (1, 2)]
    np.testing.assert_array_equal(runs[0].action, runs[1].action)
    policy, _ = replay(model, state, runs[0], runs[0].first)
    np.testing.assert_array_equal(runs[0].action, jnp.argmax(policy, axis=-1))


def test_an_environment_does_not_depend_on_how_many_play_beside_it():
    env = TMaze(4, extra=3)
    model = make_model(env, "GRU", jax.random.key(3))
    state, playing = initial(model, BATCH), begin(env, BATCH, jax.random.key(0))
    keys = jax.random.split(jax.random.key(5), BATCH)
    together = rollout(env, model, state, playing, keys, 9)[2]
    alone = rollout(env, model, *jax.tree.map(lambda leaf: leaf[1:2], (state, playing, keys)), 9)[2]
    np.testing.assert_array_equal(alone.action, together.action[1:2])
    np.testing.assert_array_equal(alone.reward, together.reward[1:2])
    np.testing.assert_allclose(alone.value, together.value[1:2], rtol=1e-12)
