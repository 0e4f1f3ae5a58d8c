"""Bodies of Gymnasium at a time step of your choice: what a second brings does not depend on how it is divided."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from farback.envs import Gymnasium, Pendulum, PerSecond
from farback.envs.bridges.host import host_errors
from farback.envs.bridges.physics import BodySettings
from farback.types import InputError

WALKER = "BipedalWalker-v3"


def one(name, dt, seconds=1.0, physics_step=None):
    """One copy of a body, after its first reset."""
    env = BodySettings(name, dt, seconds, physics_step)(1).envs[0]
    env.reset(seed=3)
    return env


def run(env, actions):
    """The observations and the rewards of actions."""
    steps = [env.step(action)[:2] for action in actions]
    return np.array([step[0] for step in steps]), np.array([step[1] for step in steps])


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "Ant-v5"])
def test_mujoco_at_two_time_steps_moves_and_earns_the_same(name):
    """An action that is held for two short steps is one long step: same states, and the same reward per second."""
    long, short = one(name, 0.02, physics_step=0.005), one(name, 0.01, physics_step=0.005)
    actions = np.random.default_rng(0).uniform(-0.3, 0.3, (5, *long.action_space.shape))
    seen, earned = run(long, actions)
    seen_in_parts, earned_in_parts = run(short, np.repeat(actions, 2, axis=0))
    np.testing.assert_array_equal(seen, seen_in_parts[1::2])
    np.testing.assert_allclose(earned, earned_in_parts.reshape(5, 2).mean(axis=1), rtol=1e-9)
    other, _ = run(one(name, 0.02, physics_step=0.01), actions)
    assert np.abs(other - seen).max() > 1e-6, "control: another step of the physics moves otherwise"


def test_walker_at_its_usual_time_step_is_that_of_gymnasium():
    usual = gymnasium.make(WALKER)
    usual.reset(seed=3)
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 4)).astype(np.float32)
    for ours, theirs in zip(run(one(WALKER, 0.02), actions), run(usual, actions), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_walker_at_another_time_step_has_the_same_units():
    """Speeds are those of the hull, and rewards are rates: their sum over time is the progress less the cost of torque."""
    dt, env = 0.005, one(WALKER, 0.005)
    body, module = env.unwrapped, env.module
    before = body.prev_shaping
    actions = np.random.default_rng(0).uniform(-1, 1, (60, 4)).astype(np.float32)
    seen, earned = run(env, actions)
    speed = body.hull.linearVelocity.x * module.VIEWPORT_W / module.SCALE
    np.testing.assert_allclose(seen[-1, 2], 0.3 * speed / 50, rtol=1e-5)
    cost = 0.00035 * module.MOTORS_TORQUE * np.abs(actions).sum()
    np.testing.assert_allclose(50 * dt * earned.sum(), body.prev_shaping - before - 50 * dt * cost, rtol=1e-5)
    assert module.FPS == 50, "other walkers keep their frame rate"


@pytest.mark.parametrize(("terminal", "expected"), [(None, -1.0), (0.02, -2.0)])
def test_fall_is_a_rate_or_an_event(terminal, expected):
    env = PerSecond(Gymnasium(WALKER, dt=0.01, seconds=5.0), terminal_seconds=terminal)
    step = jax.jit(jax.vmap(env.auto_step))
    state = jax.vmap(env.auto_reset)(jax.random.split(jax.random.key(0), 2))
    for _ in range(400):
        state, feedback = step(state, jnp.array([[0.9, -0.9, -0.9, 0.9]] * 2))
        if feedback.terminated.any():
            break
    np.testing.assert_allclose(feedback.reward[feedback.terminated], expected)
    assert (feedback.reward[~feedback.terminated] > -0.5).all()


def test_bodies_state_their_time_step_and_their_longest_episode():
    env = Gymnasium("HalfCheetah-v5", dt=0.01, seconds=0.05)
    assert (env.time_step, env.max_episode_steps) == (0.01, 5)
    assert PerSecond(env).factor == 0.01
    state, lasts = jax.vmap(env.auto_reset)(jax.random.split(jax.random.key(0), 2)), []
    for _ in range(5):
        state, feedback = jax.vmap(env.auto_step)(state, jnp.zeros((2, 6)))
        lasts.append(bool(feedback.truncated.all()))
    assert lasts == [False] * 4 + [True]
    assert Gymnasium("HalfCheetah-v5", dt=0.01).max_episode_steps == 5000, "50 seconds, as registered"
    assert Gymnasium("CartPole-v1").time_step is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gymnasium("HalfCheetah-v5", dt=0.025, physics_step=0.01), "0.01 seconds, which does not divide dt"),
        (lambda: Gymnasium("HalfCheetah-v5", dt=0.002), "0.01 seconds, which does not divide dt"),
        (lambda: Gymnasium("HalfCheetah-v5", dt=0.01, physics_step=-0.01), "does not divide dt"),
        (lambda: Gymnasium("HalfCheetah-v5", dt=-0.01), "give 0 < dt <= seconds"),
        (lambda: Gymnasium(WALKER, dt=0.0), "give 0 < dt <= seconds"),
        (lambda: Gymnasium(WALKER, dt=2.0, seconds=1.0), "give 0 < dt <= seconds"),
        (lambda: Gymnasium(WALKER, dt=0.01, physics_step=0.001), "only those of MuJoCo have a physics_step"),
        (lambda: Gymnasium("CartPole-v1", dt=0.01), r"Of Farback's own, Pendulum\(dt=0.01\)"),
        (lambda: Gymnasium("CartPole-v1", seconds=10.0), "physics_step need dt"),
        (lambda: Gymnasium(lambda copies: None, dt=0.01), "dt needs an id"),
        (lambda: PerSecond(Pendulum(), terminal_seconds=0.0), r"PerSecond\(terminal_seconds=0.0\)"),
    ],
)
def test_bodies_refuse_bad_time_steps(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_copies_in_two_processes_step_as_in_one():
    def rollout(processes):
        env = Gymnasium("HalfCheetah-v5", dt=0.05, seconds=0.2, processes=processes)
        state, seen = jax.vmap(env.auto_reset)(jax.random.split(jax.random.key(0), 3)), []
        for step in range(8):  # episodes have 4 steps, and one for the last observation
            state, feedback = jax.vmap(env.auto_step)(state, 0.1 * step * jnp.arange(1.0, 4.0)[:, None] * jnp.ones((3, 6)))
            seen.append((state.state.observation, state.first, state.last, feedback))
        return seen

    one, two = rollout(1), rollout(2)
    jax.tree.map(np.testing.assert_array_equal, one, two)
    rows = one[-1][0]
    assert not np.array_equal(rows[0], rows[1]), "control: copies differ"


def test_errors_of_other_processes_are_those_of_this_one():
    with pytest.raises(InputError, match=r"another process cannot read make .*give an id"):
        Gymnasium(lambda copies: gymnasium.make_vec("CartPole-v1", copies), processes=2)
    with pytest.raises(InputError, match="processes=0"):
        Gymnasium("CartPole-v1", processes=0)
    env = Gymnasium("Pendulum-v1", processes=2)
    state = jax.vmap(env.auto_reset)(jax.random.split(jax.random.key(0), 2))
    with pytest.raises(InputError, match="actions of a model are NaN"), host_errors():
        jax.block_until_ready(jax.vmap(env.auto_step)(state, jnp.full((2, 1), np.nan)))
    jax.block_until_ready(jax.vmap(env.auto_step)(state, jnp.zeros((2, 1))))
    env.host.processes.all[0].kill()
    with pytest.raises(InputError, match=r"ended with code -9\. The same command resumes"), host_errors():
        jax.block_until_ready(jax.vmap(env.auto_step)(state, jnp.zeros((2, 1))))
