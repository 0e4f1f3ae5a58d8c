"""The environments, each with policies that reach its stated returns; a new one is one row."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from farback.envs import (
    AbstractEnv,
    Bandit,
    CarRacing,
    CartPole,
    Curriculum,
    Detour,
    DoublePole,
    Eat,
    GaussianBandit,
    HighLow,
    Hill,
    Ladder,
    Maze,
    MemoryMaze,
    MemoryStates,
    NoisyRecall,
    Pendulum,
    PerSecond,
    PreviousActionReward,
    Pusher,
    RepeatPrevious,
    TabularMDP,
    TakeCover,
    Target,
    TMaze,
    Trials,
    TwoColors,
    Watermaze,
)
from farback.envs.spaces import sample


class Policy(NamedTuple):
    """The initial memory of a policy, and `(memory, observation) -> (memory, action)`."""

    memory: Any
    act: Callable


class Row(NamedTuple):
    """An environment, the steps of its longest episode, and policies that reach its `optimum` and its `memoryless`."""

    env: AbstractEnv
    longest: int
    best: Policy | None = None
    memoryless: Policy | None = None


def always(action):
    return Policy(None, lambda memory, observation: (memory, jnp.asarray(action)))


def keep_hint(memory, observation):
    memory = jnp.where(observation[0] == 0, memory, observation[0])
    return memory, (memory > 0).astype(int)


def keep_sign(memory, observation):
    memory = memory + observation[0]
    return memory, jnp.sign(memory)[None]


def write_sign(memory, observation):
    """Keeps the sign in the memory of the environment, without one of its own."""
    sign = jnp.sign(observation["memory"] + observation["observation"])
    return memory, {"action": sign, "write": sign}


def add_cues(env):
    def act(memory, observation):
        total, time = memory
        total = total + jnp.where(time < env.cues, observation[0], 0.0)
        return (total, time + 1), (total > 0).astype(int)

    return Policy((0.0, 0), act)


def remember_food(env):
    """Remembers for each food whether it is bad (−1), unknown (0) or good (1), and the previous food."""

    def act(memory, observation):
        known, previous = memory
        eaten = observation["action"] == 2
        known = known.at[previous].set(jnp.where(eaten, jnp.sign(observation["reward"]), known[previous]))
        food = observation["observation"]
        return (known, food), (known[food] >= 0).astype(int)

    return Policy((np.zeros(env.foods, np.float32), 0), act)


def repeat(env):
    def act(cards, observation):
        cards = jnp.roll(cards, 1).at[0].set(observation)
        return cards, cards[-1]

    return Policy(np.zeros(env.delay + 1, np.int32), act)


def go_to_target(memory, observation):
    memory = jnp.where(observation[3] == 0, observation[4:], memory)
    return memory, jnp.clip(memory - observation[:2], -1, 1)


def go_to_the_middle(memory, observation):
    return memory, jnp.where(observation[2] > 0, 0.0, jnp.clip(-observation[:2], -1, 1))


def leave_after_one_step(memory, observation):
    return memory + 1, (memory > 0).astype(int)


def upright(memory, observation):
    return memory, (observation[2] + 0.5 * observation[3] + 0.05 * observation[0] + 0.1 * observation[1] > 0).astype(int)


def both_upright(memory, observation):
    """The linear-quadratic regulator of the poles near upright."""
    gain = jnp.array([1.22, 1.22, 7.37, -4.19, 6.11, -1.11])
    return memory, jnp.clip(-gain @ observation, -1, 1)[None]


def stay_on_the_slope(memory, observation):
    return memory, (observation[0] < -0.125).astype(int)


def go_to_the_origin(env):
    return Policy(None, lambda memory, observation: (memory, jnp.clip(observation / env.dt, -1, 1)))


HINT = Policy(0.0, keep_hint)
ROWS = [
    Row(TMaze(7), 7, HINT, always(1)),
    Row(TMaze(10, noise=False, extra=10), 20, HINT, always(0)),
    Row(TMaze(12, distractors=5), 12, HINT, always(1)),
    Row(HighLow(), 25, Policy(0.0, keep_sign), always(np.ones(1, np.float32))),
    Row(Curriculum(NoisyRecall(10), "length", 10, 1, 9.0), 10, add_cues(NoisyRecall(10)), always(1)),
    Row(NoisyRecall(10), 10, add_cues(NoisyRecall(10)), always(1)),
    Row(NoisyRecall(6, cues=2, noise=0.5), 6, add_cues(NoisyRecall(6, cues=2, noise=0.5)), always(0)),
    Row(Eat(3, 20), 20, None, always(1)),
    Row(PreviousActionReward(Eat(3, 20)), 20, remember_food(Eat(3, 20))),
    Row(PreviousActionReward(Eat(10, 50)), 50, remember_food(Eat(10, 50))),
    Row(RepeatPrevious(), 52, repeat(RepeatPrevious()), always(2)),
    Row(RepeatPrevious(2, suits=3, horizon=9), 9, repeat(RepeatPrevious(2))),
    Row(Ladder(), 20, always(1), always(1)),
    Row(Ladder(3, cost=0.2, horizon=4), 4, always(1)),
    Row(Maze(3, horizon=12), 12),
    Row(MemoryMaze(3, horizon=12), 12),
    Row(TakeCover(horizon=12), 12),
    Row(TwoColors(shown=3, horizon=12), 12),
    Row(Watermaze(horizon=12), 12),
    Row(CarRacing(16, repeat=5, horizon=12), 3),
    Row(Target(), 25, Policy(np.zeros(2, np.float32), go_to_target), Policy(None, go_to_the_middle)),
    Row(Target(force=True), 25),
    Row(CartPole(), 500, Policy(None, upright), Policy(None, upright)),
    Row(CartPole(speeds=False, dt=0.01, seconds=0.3), 30),
    Row(DoublePole(), 1000, Policy(None, both_upright), Policy(None, both_upright)),
    Row(DoublePole(speeds=False, seconds=0.3), 15),
    Row(Pendulum(), 200),
    Row(Hill(), 100, Policy(None, stay_on_the_slope), Policy(None, stay_on_the_slope)),
    Row(Pusher(dt=0.2, seconds=4.0), 20, go_to_the_origin(Pusher(dt=0.2)), go_to_the_origin(Pusher(dt=0.2))),
    Row(PerSecond(CartPole()), 500, Policy(None, upright), Policy(None, upright)),
    Row(PerSecond(Pendulum(dt=0.1, seconds=1.0), seconds=0.5), 10),
    Row(Detour(), 100, always(1), always(1)),
    Row(Detour(reward=4.0, horizon=5), 5, Policy(0, leave_after_one_step)),
    Row(Bandit(3), 1, always(0), always(2)),
    Row(Bandit(2, wins=2.0, losses=3.0), 1, always(0), always(1)),
    Row(GaussianBandit(4, mean=0.5, noise=2.0), 1, always(0), always(3)),
    Row(TabularMDP(), 10, None, always(4)),
    Row(Trials(Bandit(2), 10), 10, None, always(0)),
    Row(Trials(TMaze(4, extra=3), 3), 21, None, always(1)),
    Row(PreviousActionReward(Trials(TabularMDP(3, 2, 4), 5)), 20),
    Row(PreviousActionReward(Trials(GaussianBandit(5), 10), none=False), 10),
    Row(MemoryStates(HighLow(), 1), 25, Policy(None, write_sign)),
    Row(PreviousActionReward(Pendulum(speeds=False, dt=0.1, seconds=1.0)), 10),
]


def random(env):
    """Returns the policy of uniformly random actions."""
    return Policy(None, lambda memory, observation, key: (memory, sample(env.action_space, key)))


def returns(row, policy, episodes=4000):
    """Returns the mean return of whole episodes, and its standard error."""

    @jax.jit
    def one(key):
        def step(carried, key):
            state, memory, total, alive = carried
            keys = (key,) if policy.act.__code__.co_argcount == 3 else ()
            memory, action = policy.act(memory, row.env.observe(state.state), *keys)
            state, feedback = row.env.auto_step(state, action)
            total = total + jnp.where(alive, feedback.reward, 0)
            return (state, memory, total, alive & ~feedback.terminated & ~feedback.truncated), None

        reset_key, action_key = jax.random.split(key)
        memory = jax.tree.map(jnp.asarray, policy.memory)
        start = (row.env.auto_reset(reset_key), memory, jnp.zeros(()), jnp.array(True))
        (_, _, total, alive), _ = jax.lax.scan(step, start, jax.random.split(action_key, row.longest))
        return total, alive

    total, alive = jax.vmap(one)(jax.random.split(jax.random.key(0), episodes))
    assert not alive.any(), "an episode is longer than its row says"
    return float(total.mean()), float(total.std()) / math.sqrt(episodes)
