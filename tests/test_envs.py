"""Environments keep their contract, and reach the returns that they state."""

import dataclasses
import math

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from env_table import ROWS, random, returns

from farback.envs import (
    CartPole,
    Eat,
    Ladder,
    NoisyRecall,
    Pendulum,
    PerSecond,
    PreviousActionReward,
    RepeatPrevious,
    Target,
    TMaze,
    check,
)
from farback.envs.spaces import flat, sample, width
from farback.types import InputError

pytestmark = pytest.mark.slow

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.env))


@pytest.fixture(autouse=True)
def _float32():
    with jax.enable_x64(False):
        yield


def assert_near(found, stated):
    mean, error = found
    assert abs(mean - stated) < 5 * error + 0.005 * abs(stated) + 1e-6, f"measured {mean} ± {error}, stated {stated}"


@each_row
def test_environment_keeps_the_contract(row):
    check(row.env)
    assert row.env.max_episode_steps == row.longest


@each_row
def test_returns_are_the_stated_ones(row):
    if not math.isnan(row.env.random):
        assert_near(returns(row, random(row.env)), row.env.random)
    if row.best:
        assert_near(returns(row, row.best), row.env.optimum)
    if row.memoryless:
        assert_near(returns(row, row.memoryless), row.env.memoryless)


def test_control_a_memoryless_policy_misses_the_optimum():
    row = ROWS[0]
    mean, error = returns(row, row.memoryless)
    assert abs(mean - row.env.optimum) > 20 * error


class Broken(Ladder):
    """A ladder that breaks its contract in one way."""

    how: str = ""

    @property
    def optimum(self):
        return -1.0 if self.how == "optimum" else super().optimum

    @property
    def observation_space(self):
        return "Discrete(6)" if self.how == "space" else super().observation_space

    def observe(self, state):
        rung = super().observe(state)
        changed = {"float": rung.astype(float), "shape": rung[None], "outside": rung + 3, "structure": {"rung": rung}}
        return changed.get(self.how, rung)

    def step(self, state, action, key):
        state, feedback = super().step(state, action, key)
        match self.how:
            case "tuple":
                return state, feedback.reward, feedback.terminated
            case "state":
                state = state._replace(rung=state.rung.astype(float))
            case "reward":
                feedback = feedback._replace(reward=feedback.reward[None])
            case "integer reward":
                feedback = feedback._replace(reward=action)
            case "nan":
                feedback = feedback._replace(reward=jnp.where(state.rung == 3, jnp.nan, feedback.reward))
            case "done":
                feedback = feedback._replace(terminated=feedback.terminated.astype(float))
            case "both":
                feedback = feedback._replace(truncated=feedback.terminated)
        return state, feedback

    def auto_step(self, state, action):
        state, feedback = super().auto_step(state, action)
        return dataclasses.replace(state, first=state.last if self.how == "late" else state.first), feedback


@pytest.mark.parametrize(
    ("how", "message"),
    {
        "optimum": "no return can be above the optimum",
        "space": "Broken.observation_space is a str: give a space",
        "float": "dtype float32, which is not in Discrete",
        "shape": "which is not in Discrete",
        "outside": "gives .*6.* which is not in Discrete",
        "structure": "observe gives .*rung.* which is not in Discrete",
        "tuple": r"give the next state, and Feedback\(reward, terminated, truncated\)",
        "state": "Broken.step gives a state .*float32.*same structure, shapes and dtypes",
        "reward": r"gives a reward of shape \(1,\)",
        "integer reward": "reward of shape .* and dtype int32: give a scalar, a float",
        "nan": "gives the reward nan at step",
        "done": "terminated of shape .* and dtype float32: give a scalar, a boolean",
        "both": "both terminates and truncates at step",
        "late": "sets first or last wrongly: leave auto_reset and auto_step to AbstractEnv",
    }.items(),
)
def test_check_names_what_is_broken(how, message):
    check(Broken())
    with pytest.raises(InputError, match=message):
        check(Broken(how=how))


def test_check_refuses_what_is_no_environment():
    with pytest.raises(InputError, match="int is no environment"):
        check(3)


@pytest.mark.parametrize("dt", [None, 0.01])
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_dynamics_equal_gymnasium(name, dt):
    theirs = gymnasium.make(name).unwrapped
    ours = {"CartPole-v1": CartPole, "Pendulum-v1": Pendulum}[name](**({"dt": dt} if dt else {}))
    if dt:
        setattr(theirs, "tau" if name == "CartPole-v1" else "dt", dt)
    theirs.reset(seed=0)
    state = ours.reset(jax.random.key(0))
    start = np.asarray(theirs.state, np.float32)
    state = state._replace(physics=start) if name == "CartPole-v1" else state._replace(angle=start[0], velocity=start[1])
    for number in range(40):
        action = sample(ours.action_space, jax.random.key(number))
        state, feedback = ours.step(state, action, jax.random.key(0))
        observation, reward, terminated, _, _ = theirs.step(np.asarray(action))
        np.testing.assert_allclose(ours.observe(state), observation, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(feedback.reward, reward, rtol=1e-3, atol=1e-4)
        assert bool(feedback.terminated) == terminated
        if terminated:
            break


def test_distractors_look_like_choices():
    env = TMaze(20, distractors=4)
    for seed in range(20):
        state, junctions, rewards = env.reset(jax.random.key(seed)), [], []
        for time in range(20):
            junctions.append(float(env.observe(state)[1]))
            state, feedback = env.step(state, jnp.array(1), jax.random.key(time))
            rewards.append(float(feedback.reward))
        choices = [junction for junction in junctions if junction]
        np.testing.assert_allclose(choices, [0.2, 0.4, 0.6, 0.8, 1.0], rtol=1e-6)
        assert not any(junctions[:5])
        assert junctions[-1] == 1
        assert [reward != 0 for reward in rewards] == [junction != 0 for junction in junctions]


def test_previous_action_and_reward_are_observed():
    env = PreviousActionReward(Ladder(2))
    state = env.reset(jax.random.key(0))
    assert {name: float(value) for name, value in env.observe(state).items()} == {
        "observation": 0,
        "action": 0,
        "reward": 0,
    }
    state, _ = env.step(state, jnp.array(1), jax.random.key(0))
    observation = {name: round(float(value), 3) for name, value in env.observe(state).items()}
    assert observation == {"observation": 1, "action": 2, "reward": -0.1}
    flattened = flat(env.observation_space, env.observe(state))
    np.testing.assert_allclose(flattened, [0, 1, 0, 0, 0, 1, -0.1], rtol=1e-6)
    assert flattened.shape == (width(env.observation_space),)


@pytest.mark.parametrize(
    "make",
    [
        lambda: TMaze(1),
        lambda: TMaze(10, extra=-1),
        lambda: TMaze(10, distractors=5),
        lambda: NoisyRecall(4),
        lambda: NoisyRecall(9, noise=0.0),
        lambda: Eat(0),
        lambda: RepeatPrevious(9, horizon=9),
        lambda: Ladder(5, cost=0.3),
        lambda: Ladder(30),
        lambda: CartPole(dt=0.0),
        lambda: Pendulum(seconds=0.01),
        lambda: PerSecond(Ladder()),
        lambda: PerSecond(Pendulum(), seconds=-1.0),
        lambda: Target(horizon=0),
        lambda: PreviousActionReward(Sequences()),
    ],
)
def test_arguments_without_sense_are_refused(make):
    with pytest.raises(InputError, match="give "):
        make()


class Sequences(Ladder):
    """A ladder whose actions have no fixed shape."""

    @property
    def action_space(self):
        return gymnasium.spaces.Sequence(gymnasium.spaces.Discrete(2))
