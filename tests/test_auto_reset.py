"""Auto-reset: last observations have a step of their own, and a reset is computed only where an episode ended."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from farback.envs import AbstractEnv, Feedback, Ladder, TMaze, Trials
from farback.ops import batching
from farback.ops.batching import batched, compute_where

pytestmark = pytest.mark.slow

COPIES = 8


def test_last_observation_has_a_step_of_its_own():
    """Three steps to a truncation, its last observation, and an episode that ends at the top."""
    env = Ladder(2, horizon=3)
    state, steps = env.auto_reset(jax.random.key(0)), []
    for action in (1, 0, 0, 1, 1, 1, 0):
        observation, first, last = int(env.observe(state.state)), bool(state.first), bool(state.last)
        state, feedback = env.auto_step(state, jnp.array(action))
        steps.append((observation, first, last, round(float(feedback.reward), 2), *map(bool, feedback[1:])))
    assert steps == [
        (0, True, False, -0.1, False, False),
        (1, False, False, 0.0, False, False),
        (1, False, False, 0.0, False, True),
        (1, False, True, 0.0, False, False),
        (0, True, False, -0.1, False, False),
        (1, False, False, 0.9, True, False),
        (2, False, True, 0.0, False, False),
    ]


def test_feedback_is_masked_at_a_last_observation():
    env = TMaze(2)
    state = env.auto_reset(jax.random.key(0))
    for _ in range(2):
        state, _ = env.auto_step(state, jnp.array(1))
    assert bool(state.last)
    np.testing.assert_array_equal(env.observe(state.state), np.zeros(3))
    state, feedback = env.auto_step(state, jnp.array(1))
    assert tuple(map(float, feedback)) == (0, 0, 0)
    assert bool(state.first)


class Counted(AbstractEnv):
    """Counts its resets on the host. The action ends an episode."""

    calls: list

    @property
    def observation_space(self):
        return Ladder().observation_space

    @property
    def action_space(self):
        return Ladder().action_space

    def reset(self, key):
        jax.debug.callback(lambda word: self.calls.append(int(word)), jax.random.bits(key))
        return jax.random.uniform(key)

    def observe(self, state):
        return jnp.zeros((), int)

    def step(self, state, action, key):
        return state + 1, Feedback(state, action == 1, jnp.array(False))


def select_auto_step(env, state, action):
    """Auto-reset by a select: the definition, which computes a reset for every copy at every step."""
    key, draw_key = jax.random.split(state.key)
    fresh = env.reset_from(state.state, draw_key)
    following, (reward, terminated, truncated) = env.step(state.state, action, draw_key)
    following = jax.tree.map(lambda fresh, old: jnp.where(state.last, fresh, old), fresh, following)
    feedback = Feedback(jnp.where(state.last, 0, reward), terminated & ~state.last, truncated & ~state.last)
    return type(state)(following, state.last, feedback.terminated | feedback.truncated, key), feedback


def rollout(step, states, actions):
    """Returns the states after each step, and the feedback; leading axis `[time]`."""
    for _ in actions.shape[1:]:
        step = jax.vmap(step)

    def one(states, actions):
        states, feedback = step(states, actions)
        return states, (states, feedback)

    return jax.jit(lambda: jax.lax.scan(one, states, actions))()[1]


def arrays(tree):
    key = jax.dtypes.prng_key
    leaves = jax.tree.leaves(tree)
    return [np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, key) else leaf) for leaf in leaves]


@pytest.mark.parametrize("shape", [(COPIES,), (2, COPIES // 2), (40,)], ids=str)
def test_reset_is_computed_only_where_an_episode_ended(shape):
    env = Counted([])
    states = jax.vmap(env.auto_reset)(jax.random.split(jax.random.key(0), int(np.prod(shape))))
    states = jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), states)
    actions = jax.random.bernoulli(jax.random.key(1), 0.2, (30, *shape)).astype(int)
    jax.effects_barrier()
    env.calls.clear()
    found, _ = rollout(env.auto_step, states, actions)
    jax.effects_barrier()
    begun = int(found.first.sum())
    few = max(1, int(np.prod(shape)) // batching.CHUNKS)
    assert begun > 10
    assert begun <= len(env.calls) <= begun + 30 * (few - 1)
    assert len(env.calls) < actions.size / 2


def test_control_a_select_computes_every_reset():
    env = Counted([])
    states = jax.vmap(env.auto_reset)(jax.random.split(jax.random.key(0), COPIES))
    jax.effects_barrier()
    env.calls.clear()
    rollout(lambda *given: select_auto_step(env, *given), states, jnp.zeros((30, COPIES), int))
    jax.effects_barrier()
    assert len(env.calls) == 30 * COPIES


@pytest.mark.parametrize("cheap", [0, batching.CHEAP], ids=["every reset by rows", "cheap resets by a select"])
@pytest.mark.parametrize("env", [TMaze(3, extra=2), Ladder(2, horizon=3), Trials(TMaze(2, extra=1), 2)], ids=str)
def test_auto_step_equals_its_definition_bit_for_bit(monkeypatch, env, cheap):
    monkeypatch.setattr(batching, "CHEAP", cheap)
    states = jax.vmap(jax.vmap(env.auto_reset))(jax.random.split(jax.random.key(0), (2, 20)))
    actions = jax.random.bernoulli(jax.random.key(1), 0.5, (40, 2, 20)).astype(int)
    found = rollout(env.auto_step, states, actions)
    wanted = rollout(lambda *given: select_auto_step(env, *given), states, actions)
    assert found[0].first.any()
    for one, other in zip(arrays(found), arrays(wanted), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


def test_compute_where_uses_arrays_of_its_surroundings():
    """The arrays are mapped by one `vmap`, by both or by none; have no rows; or hold no numbers."""
    table = jnp.arange(12.0).reshape(3, 4)

    def one(needed, row, offset):
        empty = jnp.zeros((0,))

        def function():
            return jax.lax.fori_loop(0, 3, lambda _, x: x + offset, table[row]).sum(), empty

        return compute_where(needed, function, (jnp.array(-1.0), empty))[0]

    needed = jax.random.bernoulli(jax.random.key(0), 0.5, (5, 6))
    rows, offsets = jnp.arange(6) % 3, jnp.arange(5.0)
    found = jax.jit(jax.vmap(jax.vmap(one, (0, 0, None)), (0, None, 0)))(needed, rows, offsets)
    wanted = jnp.where(needed, table[rows].sum(-1) + 12 * offsets[:, None], -1.0)
    np.testing.assert_allclose(found, wanted)
    assert one(jnp.array(True), jnp.array(1), jnp.array(1.0)) == table[1].sum() + 12
    assert one(jnp.array(False), jnp.array(1), jnp.array(1.0)) == -1


def test_batched_function_is_called_once_for_all_rows():
    sizes = []

    @batched
    def double(x):
        sizes.append(x.shape)
        return 2 * x

    x = jnp.arange(12.0).reshape(3, 4, 1)
    np.testing.assert_array_equal(jax.vmap(jax.vmap(double))(x), 2 * x)
    assert sizes[-1] == (12,)
    empty = jnp.zeros((3, 4, 1, 0))
    assert jax.vmap(jax.vmap(double))(empty).shape == empty.shape
