"""Environments keep their contract, and what they state of returns is so."""

import dataclasses
import math

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from env_table import ROWS, random, returns

from engram import BPTT, GRU, PPO, InputError, actor_critic
from engram.envs import (
    CartPole,
    Eat,
    Feedback,
    Ladder,
    NoisyRecall,
    Pendulum,
    Previous,
    RepeatPrevious,
    Target,
    TMaze,
    check,
)
from engram.envs.spaces import contains, flat, names, parts, sample, width

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.env))


@pytest.fixture(autouse=True)
def _as_it_is_run():
    with jax.enable_x64(False):
        yield


def assert_near(found, stated):
    mean, error = found
    assert abs(mean - stated) < 5 * error + 0.005 * abs(stated) + 1e-6, f"{mean} ± {error}, but {stated} is stated"


@each_row
def test_contract(row):
    check(row.env)
    assert row.env.steps == row.longest


@each_row
def test_returns_are_what_is_stated(row):
    if not math.isnan(row.env.random):
        assert_near(returns(row, random(row.env)), row.env.random)
    if row.best:
        assert_near(returns(row, row.best), row.env.optimum)
    if row.blind:
        assert_near(returns(row, row.blind), row.env.memoryless)


def test_control_a_policy_that_forgets_is_told_apart():
    row = ROWS[0]
    mean, error = returns(row, row.blind)
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
        seen = super().observe(state)
        changed = {"float": seen.astype(float), "shape": seen[None], "outside": seen + 3, "structure": {"rung": seen}}
        return changed.get(self.how, seen)

    def step(self, state, action, key):
        state, feedback = super().step(state, action, key)
        match self.how:
            case "tuple":
                return state, feedback.reward, feedback.terminated
            case "state":
                state = state._replace(rung=state.rung.astype(float))
            case "reward":
                feedback = feedback._replace(reward=feedback.reward[None])
            case "whole reward":
                feedback = feedback._replace(reward=action)
            case "nan":
                feedback = feedback._replace(reward=jnp.where(state.rung == 3, jnp.nan, feedback.reward))
            case "done":
                feedback = feedback._replace(terminated=feedback.terminated.astype(float))
            case "both":
                feedback = feedback._replace(truncated=feedback.terminated)
        return state, feedback

    def act(self, play, action):
        play, feedback = super().act(play, action)
        return dataclasses.replace(play, first=play.over if self.how == "late" else play.first), feedback


@pytest.mark.parametrize(
    ("how", "message"),
    {
        "optimum": "nothing can be above the optimum",
        "space": "Broken.observation_space is a str: give a space",
        "float": "dtype float32, which is not in Discrete",
        "shape": "which is not in Discrete",
        "outside": "gives .*6.* which is not in Discrete",
        "structure": "observe gives .*rung.* which is not in Discrete",
        "tuple": r"give the next state, and Feedback\(reward, terminated, truncated\)",
        "state": "Broken.step gives a state .*float32.*same structure, shapes and dtypes",
        "reward": r"gives a reward of shape \(1,\)",
        "whole reward": "reward of shape .* and dtype int32: give a scalar, a float",
        "nan": "gives the reward nan at step",
        "done": "terminated of shape .* and dtype float32: give a scalar, a boolean",
        "both": "both terminates and truncates at step",
        "late": "leave begin and act to AbstractEnv",
    }.items(),
)
def test_control_a_broken_environment_is_told_what_broke(how, message):
    check(Broken())
    with pytest.raises(InputError, match=message):
        check(Broken(how=how))


@pytest.mark.parametrize(
    "how", ["space", "float", "shape", "structure", "tuple", "state", "reward", "whole reward", "done"]
)
def test_an_agent_is_told_what_is_broken_before_it_plays(how):
    model = actor_critic(Ladder(), lambda size, key: GRU(size, 3, key=key), key=jax.random.key(0))
    with pytest.raises(InputError, match=r"Broken\."):
        PPO(Broken(how=how), BPTT(), optax.adam(1e-3)).init(model, 2, key=jax.random.key(1))


def test_control_what_is_no_environment():
    with pytest.raises(InputError, match="int is no environment"):
        check(3)


def test_an_episode_is_seen_to_its_end():
    """Of three steps: the sign, twice nothing, its end; then the next begins, whatever is done."""
    env = Ladder(2, horizon=3)
    play, seen = env.begin(jax.random.key(0)), []
    for action in (1, 0, 0, 1, 1, 1, 0):
        observation, first, over = int(env.observe(play.state)), bool(play.first), bool(play.over)
        play, feedback = env.act(play, jnp.array(action))
        seen.append((observation, first, over, round(float(feedback.reward), 2), *map(bool, feedback[1:])))
    assert seen == [
        (0, True, False, -0.1, False, False),
        (1, False, False, 0.0, False, False),
        (1, False, False, 0.0, False, True),
        (1, False, True, 0.0, False, False),
        (0, True, False, -0.1, False, False),
        (1, False, False, 0.9, True, False),
        (2, False, True, 0.0, False, False),
    ]


@pytest.mark.parametrize(("dt", "horizon"), [(None, 500), (0.01, 500)])
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_dynamics_are_those_of_gymnasium(name, dt, horizon):
    theirs = gymnasium.make(name).unwrapped
    ours = {"CartPole-v1": CartPole, "Pendulum-v1": Pendulum}[name](**({"dt": dt} if dt else {}), horizon=horizon)
    if dt:
        setattr(theirs, "tau" if name == "CartPole-v1" else "dt", dt)
    theirs.reset(seed=0)
    state = ours.reset(jax.random.key(0))
    start = np.asarray(theirs.state, np.float32)
    state = state._replace(moves=start) if name == "CartPole-v1" else state._replace(angle=start[0], spin=start[1])
    for number in range(40):
        action = sample(ours.action_space, jax.random.key(number))
        state, feedback = ours.step(state, action, jax.random.key(0))
        observation, reward, terminated, _, _ = theirs.step(np.asarray(action))
        np.testing.assert_allclose(ours.observe(state), observation, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(feedback.reward, reward, rtol=1e-3, atol=1e-4)
        assert bool(feedback.terminated) == terminated
        if terminated:
            break


def test_a_distractor_looks_like_a_choice():
    env = TMaze(20, distractors=4)
    for seed in range(20):
        state, junctions, rewards = env.reset(jax.random.key(seed)), [], []
        for time in range(20):
            junctions.append(float(env.observe(state)[1]))
            state, feedback = env.step(state, jnp.array(1), jax.random.key(time))
            rewards.append(float(feedback.reward))
        shown = [junction for junction in junctions if junction]
        np.testing.assert_allclose(shown, [0.2, 0.4, 0.6, 0.8, 1.0], rtol=1e-6)
        assert not any(junctions[:5])
        assert junctions[-1] == 1
        assert [reward != 0 for reward in rewards] == [junction != 0 for junction in junctions]


def test_what_was_done_is_seen():
    env = Previous(Ladder(2))
    state = env.reset(jax.random.key(0))
    assert {name: float(value) for name, value in env.observe(state).items()} == {
        "observation": 0,
        "action": 0,
        "reward": 0,
    }
    state, _ = env.step(state, jnp.array(1), jax.random.key(0))
    seen = {name: round(float(value), 3) for name, value in env.observe(state).items()}
    assert seen == {"observation": 1, "action": 2, "reward": -0.1}
    flattened = flat(env.observation_space, env.observe(state))
    np.testing.assert_allclose(flattened, [0, 1, 0, 0, 0, 1, -0.1], rtol=1e-6)
    assert flattened.shape == (width(env.observation_space),)


SPACES = [
    gymnasium.spaces.Box(-1.0, 2.0, (2, 3)),
    gymnasium.spaces.Box(np.float32([-np.inf, 0, -np.inf]), np.float32([np.inf, np.inf, 1])),
    gymnasium.spaces.Box(0, 255, (3,), np.uint8),
    gymnasium.spaces.Discrete(4, start=-1),
    gymnasium.spaces.MultiBinary(3),
    gymnasium.spaces.MultiDiscrete([2, 5]),
    gymnasium.spaces.Dict(
        a=gymnasium.spaces.Discrete(3), b=gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2), gymnasium.spaces.Box(0, 1)])
    ),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_samples_lie_in_their_space(space):
    samples = jax.vmap(lambda key: sample(space, key))(jax.random.split(jax.random.key(0), 200))
    for part, values in parts(space, samples):
        assert all(contains(part, value) for value in values)
        assert len(np.unique(values)) > 1
    one = jax.tree.map(lambda leaf: leaf[0], samples)
    assert flat(space, one).shape == (width(space),)
    assert jax.tree.structure(names(space)) == jax.tree.structure(one)


def test_control_what_lies_outside():
    box, discrete = gymnasium.spaces.Box(-1.0, 1.0, (2,)), gymnasium.spaces.Discrete(3)
    assert contains(box, np.zeros(2))
    for wrong in (np.zeros(3), np.full(2, 1.1), np.zeros(2, int), np.full(2, np.nan)):
        assert not contains(box, wrong)
    assert contains(discrete, np.array(2))
    for wrong in (np.array(3), np.array(1.0), np.array([1])):
        assert not contains(discrete, wrong)
    with pytest.raises(InputError, match="Text spaces have no arrays"):
        width(gymnasium.spaces.Text(3))


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
        lambda: Pendulum(horizon=0),
        lambda: Target(horizon=0),
        lambda: Previous(Sequences()),
    ],
)
def test_what_makes_no_sense_is_refused(make):
    with pytest.raises(InputError, match="give "):
        make()


class Sequences(Ladder):
    """Whose actions cannot be shown."""

    @property
    def action_space(self):
        return gymnasium.spaces.Sequence(gymnasium.spaces.Discrete(2))


def test_feedback_is_masked_when_an_episode_is_over():
    env = TMaze(2)
    play = env.begin(jax.random.key(0))
    for _ in range(2):
        play, _ = env.act(play, jnp.array(1))
    assert bool(play.over)
    np.testing.assert_array_equal(env.observe(play.state), np.zeros(3))
    play, feedback = env.act(play, jnp.array(1))
    assert tuple(map(float, Feedback(*feedback))) == (0, 0, 0)
    assert bool(play.first)
