"""Wrappers forward everything, and keep the level, the world and the goal."""

import dataclasses
import math
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from env_table import Policy, returns, write_sign
from env_table import Row as EnvRow
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Sequence, Tuple

from farback.envs import (
    AbstractEnv,
    Bandit,
    Curriculum,
    Feedback,
    Gymnasium,
    GymVectorEnv,
    HighLow,
    Ladder,
    MemoryStates,
    NoisyRecall,
    Pendulum,
    PerSecond,
    PreviousActionReward,
    TabularMDP,
    TMaze,
    Trials,
    check,
)
from farback.envs.spaces import HashableSpace, flat, sample, width
from farback.types import InputError

pytestmark = pytest.mark.slow

GOAL = NoisyRecall(9)
CURRICULUM = Curriculum(GOAL, "length", 5, 2, threshold=-20.0, episodes=1)
"""Every episode masters its level."""
MAZES = Curriculum(TMaze(4), "corridor", 2, 1, threshold=-20.0, episodes=1)
REMEMBERED = MemoryStates(TMaze(3), 1, bound=5.0)


class Row(NamedTuple):
    """A wrapped environment, its innermost one, the one that evaluates it, and the properties that it changes."""

    env: AbstractEnv
    inner: AbstractEnv
    eval_env: AbstractEnv
    changes: tuple[str, ...] = ()


OBSERVED = ("observation_space", "memoryless")
WRITTEN = (*OBSERVED, "action_space")
TRIALS = ("observation_space", "max_episode_steps", "optimum", "memoryless", "random")
WRAPPERS = [
    Row(PreviousActionReward(env), env, PreviousActionReward(env), OBSERVED)
    for env in (TMaze(3), Ladder(3), Pendulum(), TabularMDP(3, 2, 4), Bandit(3))
] + [
    Row(Curriculum(Ladder(4), "rungs", 2, 1, 0.5), Ladder(4), Ladder(4)),
    Row(CURRICULUM, GOAL, GOAL),
    Row(Trials(Bandit(3), 4), Bandit(3), Trials(Bandit(3), 4), TRIALS),
    Row(PreviousActionReward(CURRICULUM), GOAL, PreviousActionReward(GOAL), OBSERVED),
    Row(PreviousActionReward(Trials(TMaze(3), 2)), TMaze(3), PreviousActionReward(Trials(TMaze(3), 2)), TRIALS),
    Row(MemoryStates(HighLow(3), 2), HighLow(3), MemoryStates(HighLow(3), 2), WRITTEN),
    Row(MemoryStates(CURRICULUM, 2), GOAL, MemoryStates(GOAL, 2), WRITTEN),
    Row(PreviousActionReward(REMEMBERED), TMaze(3), PreviousActionReward(REMEMBERED), WRITTEN),
    Row(Trials(REMEMBERED, 2), TMaze(3), Trials(REMEMBERED, 2), (*TRIALS, "action_space")),
    Row(MemoryStates(Trials(MAZES, 2), 1), TMaze(4), MemoryStates(Trials(TMaze(4), 2), 1), (*TRIALS, "action_space")),
    Row(Trials(CURRICULUM, 3), GOAL, Trials(GOAL, 3), TRIALS),
    Row(PerSecond(Pendulum()), Pendulum(), PerSecond(Pendulum()), ("optimum", "memoryless", "random")),
    Row(Trials(PreviousActionReward(MAZES), 2), TMaze(4), Trials(PreviousActionReward(TMaze(4)), 2), TRIALS),
    Row(PreviousActionReward(Trials(CURRICULUM, 3)), GOAL, PreviousActionReward(Trials(GOAL, 3)), TRIALS),
    Row(Curriculum(Trials(TMaze(3), 4), "episodes", 1, 1, -20.0, 1), TMaze(3), Trials(TMaze(3), 4), TRIALS),
]
each_row = pytest.mark.parametrize("row", WRAPPERS, ids=lambda row: str(row.env))


def unwrapped(env, state):
    """Returns the innermost environment, at its level, and its state."""
    while hasattr(env, "env"):
        env, state = env.env_of(state), env.unwrap(state)
    return env, state


def rollout(env, key, steps, action=None):
    """Returns the states before each of some steps of random actions, or of one, and the feedback."""

    def one(state, key):
        chosen = sample(env.action_space, key) if action is None else jax.tree.map(jnp.asarray, action)
        following, feedback = env.auto_step(state, chosen)
        return following, (state, feedback)

    reset_key, action_key = jax.random.split(key)
    return jax.jit(lambda: jax.lax.scan(one, env.auto_reset(reset_key), jax.random.split(action_key, steps))[1])()


def forwards(row):
    """Raises an `AssertionError` where a wrapper changes what it should forward."""
    for name in (
        "observation_space",
        "action_space",
        "max_episode_steps",
        "time_step",
        "optimum",
        "memoryless",
        "random",
        "hosted",
    ):
        one, other = getattr(row.env, name), getattr(row.inner, name)
        unknown = isinstance(other, float) and math.isnan(other) and math.isnan(one)
        assert name in row.changes or one == other or unknown, name
    states = rollout(row.env, jax.random.key(0), 12)[0].state
    for time in range(12):
        state = jax.tree.map(lambda leaf, time=time: leaf[time], states)
        inner, inner_state = unwrapped(row.env, state)
        assert row.env.cue(state) == inner.cue(inner_state), "cue"
        assert inner.render_text(inner_state) in row.env.render_text(state), "render_text"
        observation = row.env.observe(state)
        while isinstance(observation, dict):
            observation = observation["observation"]
        np.testing.assert_array_equal(observation, inner.observe(inner_state))


@each_row
def test_wrapper_keeps_the_contract(row):
    with jax.enable_x64(False):
        check(row.env, steps=200)


@each_row
def test_wrapper_forwards_everything(row):
    forwards(row)


@each_row
def test_wrapper_is_evaluated_at_the_goal(row):
    assert row.env.eval_env == row.eval_env


@each_row
def test_auto_step_equals_reset_and_step(row):
    """The definition of auto-reset in terms of `reset`, `reset_from` and `step`, with the same keys."""
    env = row.env
    state = env.auto_reset(jax.random.key(3))
    key, draw_key = jax.random.split(jax.random.key(3))
    inner, last = env.reset(draw_key), False
    auto_step, reset_from, step = jax.jit(env.auto_step), jax.jit(env.reset_from), jax.jit(env.step)
    for time in range(14):
        assert_equal(state.state, inner)
        assert bool(state.last) == last
        action = sample(env.action_space, jax.random.key(time))
        state, feedback = auto_step(state, action)
        key, draw_key = jax.random.split(key)
        if last:
            inner, last = reset_from(inner, draw_key), False
            assert bool(state.first)
            assert tuple(map(float, feedback)) == (0, 0, 0)
        else:
            inner, expected = step(inner, action, draw_key)
            last = bool(expected.terminated | expected.truncated)
            assert_equal(feedback, expected)
        np.testing.assert_array_equal(jax.random.key_data(state.key), jax.random.key_data(key))


def assert_equal(found, wanted):
    for one, other in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
        assert one.dtype == other.dtype


class Naive(AbstractEnv):
    """A wrapper that defines what `AbstractEnv` requires, and forwards nothing else."""

    env: AbstractEnv

    @property
    def observation_space(self):
        return self.env.observation_space

    @property
    def action_space(self):
        return self.env.action_space

    def env_of(self, state):
        return self.env

    def unwrap(self, state):
        return state

    def reset(self, key):
        return self.env.reset(key)

    def observe(self, state):
        return self.env.observe(state)

    def step(self, state, action, key):
        return self.env.step(state, action, key)


def test_control_a_naive_wrapper_forwards_too_little():
    check(Naive(Ladder(3)))
    with pytest.raises(AssertionError, match="max_episode_steps"):
        forwards(Row(Naive(TMaze(3)), TMaze(3), TMaze(3)))
    returns = ("max_episode_steps", "optimum", "memoryless", "random")
    with pytest.raises(AssertionError, match="cue"):
        forwards(Row(Naive(TMaze(3)), TMaze(3), TMaze(3), returns))
    assert Naive(CURRICULUM).eval_env != GOAL
    levels = rollout(Naive(CURRICULUM), jax.random.key(4), 30)[0].state.level
    assert (levels == 5).all()
    assert len(set(worlds(Trials(Naive(TabularMDP(3, 2, 2)), 3), 9))) > 2


@pytest.mark.parametrize(
    "wrap",
    [lambda env: env, PreviousActionReward, lambda env: PreviousActionReward(PreviousActionReward(env))],
    ids=["itself", "in PreviousActionReward", "in two"],
)
def test_level_is_raised_from_episode_to_episode(wrap):
    env = wrap(CURRICULUM)
    state = rollout(env, jax.random.key(4), 40)[0]
    levels = np.asarray(find_curriculum(env, state.state).level)
    assert levels[np.asarray(state.first)].tolist() == [5, 7, 9, 9, 9]


def find_curriculum(env, state):
    while not isinstance(env, Curriculum):
        env, state = env.env, env.unwrap(state)
    return state


@pytest.mark.parametrize("wrap", [lambda env: env, PreviousActionReward], ids=["itself", "in PreviousActionReward"])
def test_level_is_kept_within_a_trial_and_raised_between_trials(wrap):
    env = wrap(Trials(CURRICULUM, 3))
    state = rollout(env, jax.random.key(4), 90)[0]
    levels, first = np.asarray(find_curriculum(env, state.state).level), np.asarray(state.first)
    assert levels[first].tolist() == [5, 7, 9, 9]
    assert first.nonzero()[0].tolist() == [0, 3 * 5 + 1, 3 * 12 + 2, 3 * 21 + 3]
    assert (np.diff(levels)[~first[1:]] == 0).all()


def worlds(env, steps):
    state = rollout(env, jax.random.key(5), steps, 0)[0]
    return list(map(tuple, np.asarray(unwrapped(env, state.state)[1].world).tolist()))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda env: Trials(Curriculum(env, "horizon", 2, 1, 1e9), 3),
        lambda env: Trials(PreviousActionReward(env), 3),
        lambda env: PreviousActionReward(Trials(Curriculum(env, "horizon", 2, 1, 1e9), 3)),
    ],
)
def test_world_is_kept_within_a_trial(wrap):
    env = wrap(TabularMDP(3, 2, 2))
    drawn = worlds(env, 14)
    assert len(set(drawn[:7])) == 1
    assert len(set(drawn[7:])) == 1
    assert drawn[0] != drawn[7]


def test_score_averages_the_returns_of_all_episodes_of_a_trial():
    """Two episodes of return 0.9, with n = 2, score 0.45 and then 0.675, at a threshold below that and at one above."""

    def scores(threshold):
        env = Trials(Curriculum(Ladder(3), "rungs", 1, 1, threshold, episodes=2), 2)
        state = rollout(env, jax.random.key(0), 4, 1)[0]
        inner = state.state.state
        return inner.score.round(4).tolist(), inner.level.tolist(), inner.total.round(4).tolist(), state.first.tolist()

    score, level, total, first = scores(0.5)
    assert first == [True, False, False, True]
    assert score == [0, 0.45, 0.675, 0]
    assert total == [0, 0, 0, 0]
    assert level == [1, 1, 1, 2]
    score, level, _, _ = scores(0.7)
    assert score[3] == 0.675
    assert level[3] == 1


class AnyActions(Ladder):
    """A ladder with other actions, which all rest."""

    actions: HashableSpace = HashableSpace(Discrete(2))

    @property
    def action_space(self):
        return self.actions.unwrapped

    def step(self, state, action, key):
        return super().step(state, jnp.array(0), key)


class SequenceActions(Ladder):
    """A ladder whose actions have no fixed shape."""

    @property
    def action_space(self):
        return Sequence(Discrete(2))


ACTIONS = [
    (Discrete(3), [1, 0, 0, 0], 4),
    (Discrete(3, start=-1), [1, 0, 0, 0], 4),
    (MultiDiscrete([2, 3]), [1, 0, 0, 1, 0, 0, 0], 7),
    (MultiBinary(2), [0, 0], 2),
    (Box(1.0, 2.0, (2,)), [0, 0], 2),
    (Box(0, 255, (2,), np.uint8), [0, 0], 2),
    (Tuple([Discrete(2), Dict(force=Box(-1.0, 1.0, (1,)))]), [1, 0, 0, 0], 4),
]


@pytest.mark.parametrize(("space", "none", "size"), ACTIONS, ids=lambda value: str(value))
def test_previous_actions_of_all_spaces_are_observed(space, none, size):
    env = PreviousActionReward(AnyActions(actions=HashableSpace(space)))
    with jax.enable_x64(False):
        check(env, steps=60)
    shown = env.observation_space["action"]
    state = env.reset(jax.random.key(0))
    assert flat(shown, env.observe(state)["action"]).tolist() == none
    assert width(shown) == size
    action = sample(space, jax.random.key(1))
    state, _ = env.step(state, action, jax.random.key(2))
    found, wanted = flat(shown, env.observe(state)["action"]), flat(space, action)
    others = [one for index, one in enumerate(found) if size == len(wanted) or none[index] == 0]
    np.testing.assert_allclose(others, wanted)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state.action))


def test_actions_without_a_fixed_shape_are_refused():
    with pytest.raises(InputError, match=r"its actions cannot be observed. Sequence spaces have no arrays"):
        PreviousActionReward(SequenceActions())


def hosted(env, copies=3):
    return Gymnasium(lambda copies: GymVectorEnv(env, copies))


def test_previous_action_and_reward_of_a_hosted_environment_are_those_in_jax():
    keys = jax.vmap(jax.random.key)(5 + jnp.arange(3))
    results = []
    for env in (PreviousActionReward(TMaze(3, extra=2)), PreviousActionReward(hosted(TMaze(3, extra=2)))):
        states, steps = jax.vmap(env.auto_reset)(keys), []
        for time in range(12):
            before = jax.vmap(env.observe)(states.state)
            actions = jnp.array([time % 2, (time // 2) % 2, 1])
            states, feedback = jax.jit(jax.vmap(env.auto_step))(states, actions)
            steps.append((before, states.first, states.last, feedback))
        results.append(steps)
    assert any(step[2].any() for step in results[0])
    assert_equal(results[1], results[0])


def test_previous_action_and_reward_of_a_named_environment_are_observed():
    env = PreviousActionReward(Gymnasium("CartPole-v1"))
    states = jax.vmap(env.auto_reset)(jax.random.split(jax.random.key(0), 2))
    np.testing.assert_array_equal(jax.vmap(env.observe)(states.state)["action"], [0, 0])
    states, _ = jax.jit(jax.vmap(env.auto_step))(states, jnp.array([0, 1]))
    observation = jax.vmap(env.observe)(states.state)
    np.testing.assert_array_equal(observation["action"], [1, 2])
    np.testing.assert_array_equal(observation["reward"], [1, 1])
    check(dataclasses.replace(env, none=False), steps=30)


def memories(env, write, steps=12):
    """The memory, `first` and `last` of each step of copies whose action at step t writes `write(t)`."""

    def one(states, time):
        memory = jax.vmap(env.observe)(states.state)["memory"]
        action = jax.vmap(lambda key: sample(env.action_space["action"], key))(jax.random.split(jax.random.key(time), 3))
        action = {"action": action, "write": jnp.broadcast_to(write(time), (3, env.size))}
        return jax.vmap(env.auto_step)(states, action)[0], (memory, states.first, states.last)

    states = jax.vmap(env.auto_reset)(jax.vmap(jax.random.key)(5 + jnp.arange(3)))
    return jax.tree.map(np.asarray, jax.jit(lambda: jax.lax.scan(one, states, jnp.arange(steps)))()[1])


def growing(time):
    return 0.01 * jnp.asarray(1 + time, float) * jnp.array([1.0, -1.0])


MEMORIES = {
    "in JAX": lambda: MemoryStates(TMaze(3, extra=2), 2),
    "hosted": lambda: MemoryStates(hosted(TMaze(3, extra=2)), 2),
    "in another": lambda: MemoryStates(PreviousActionReward(TMaze(3, extra=2)), 2),
}


@pytest.mark.parametrize("make", MEMORIES.values(), ids=MEMORIES)
def test_memory_is_the_write_of_the_step_before_and_0_at_the_start_of_an_episode(make):
    memory, first, last = memories(make(), growing)
    assert first[1:].any()
    assert last.any(), "the memory of a last observation is tested too"
    written = np.stack([np.zeros(2), *(growing(time) for time in range(11))])[:, None]
    np.testing.assert_allclose(memory, np.where(first[..., None], 0, written), rtol=1e-12)


@pytest.mark.parametrize("bound", [0.5, 1.0, 1e6])
def test_memory_is_clipped_to_its_bound(bound):
    env = MemoryStates(HighLow(4), 2, bound)
    memory, first, _ = memories(env, lambda time: bound * jnp.array([3.0, -0.5]))
    np.testing.assert_allclose(memory[~first], np.broadcast_to([bound, -bound / 2], memory[~first].shape))
    assert env.observation_space["memory"] == env.action_space["write"] == Box(-bound, bound, (2,))


def test_memory_lasts_for_a_trial_or_for_an_episode():
    def written(env, memory):
        """The memories of a trial of two episodes of two steps, each of which writes 1."""
        action = jax.tree.map(jnp.ones_like, sample(env.action_space, jax.random.key(0)))
        state = rollout(env, jax.random.key(0), 5, action)[0]
        return memory(jax.vmap(env.observe)(state.state)).ravel().tolist()

    episodes = written(Trials(MemoryStates(HighLow(2), 1), 2), lambda seen: seen["observation"]["memory"])
    trial = written(MemoryStates(Trials(HighLow(2), 2), 1), lambda seen: seen["memory"])
    assert (episodes, trial) == ([0, 1, 0, 1, 0], [0, 1, 1, 1, 1])


def without_write(memory, observation):
    memory, action = write_sign(memory, observation)
    return memory, {**action, "write": jnp.zeros_like(action["write"])}


def test_a_memoryless_policy_that_writes_the_sign_reaches_the_optimum():
    row = EnvRow(MemoryStates(HighLow(), 1), 25)
    assert returns(row, Policy(None, write_sign)) == (1.0, 0.0)
    mean, error = returns(row, Policy(None, without_write))
    assert abs(mean) < 5 * error + 1e-6, "control: without the write, the sign is lost"


def test_memory_states_without_room_are_refused():
    with pytest.raises(InputError, match=r"MemoryStates\(size=0\): .*give size >= 1, or the environment itself"):
        MemoryStates(TMaze(3), 0)
    for bound in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InputError, match=rf"MemoryStates\(bound={bound}\): .*give a positive, finite bound"):
            MemoryStates(TMaze(3), 1, bound)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda env: Trials(env, 3),
        lambda env: Curriculum(env, "length", 1, 1, 0.0),
        lambda env: Trials(PreviousActionReward(env), 3),
        lambda env: Trials(MemoryStates(env, 2), 3),
    ],
)
def test_wrappers_that_reset_a_hosted_environment_are_refused(wrap):
    with pytest.raises(InputError, match=r"(Trials|Curriculum)\(env\): the host steps .*give an environment in JAX"):
        wrap(Gymnasium("CartPole-v1"))


def test_curriculum_refuses_what_is_no_number_of_its_environment():
    with pytest.raises(InputError, match="has no such whole number; give the name of a whole-number argument"):
        Curriculum(TMaze(5), "length", 2, 1, 0.0)
    with pytest.raises(InputError, match="give 1 <= start <= 5"):
        Curriculum(TMaze(5), "corridor", 6, 1, 0.0)
    with pytest.raises(InputError, match="give corridor >= 2"):
        Curriculum(TMaze(5), "corridor", 1, 1, 0.0)


def test_feedback_of_a_step_is_that_of_the_inner_environment():
    env = PreviousActionReward(Ladder(2))
    _, feedback = env.step(env.reset(jax.random.key(0)), jnp.array(1), jax.random.key(0))
    assert isinstance(feedback, Feedback)
    assert gymnasium.make("farback/Ladder-v0", previous_action_reward=True).unwrapped.env == PreviousActionReward(Ladder())
