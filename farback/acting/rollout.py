"""Rollouts: parallel copies of an environment, stepped by a policy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from farback.acting.policy import AbstractPolicy, PolicyState
from farback.envs.base import AbstractEnv, AutoResetState
from farback.ops.random import example_keys
from farback.types import Keys, Tally


class Trajectory(eqx.Module):
    """The steps of a rollout; leading axes `[batch, time]`.

    - `first`: whether the observation is the first of an episode.
    - `last`: whether the observation is the last of an episode. Its action has no effect.
    - `observation`, `action`: elements of the environment's spaces.
    - `extras`: the extras of the policy, such as log-probabilities and values.
    - `reward`, `terminated`, `truncated`: the feedback of the action.
    """

    first: Bool[Array, "*steps"]
    last: Bool[Array, "*steps"]
    observation: PyTree[Array]
    action: PyTree[Array]
    extras: PyTree[Array]
    reward: Float[Array, "*steps"]
    terminated: Bool[Array, "*steps"]
    truncated: Bool[Array, "*steps"]

    @property
    def ended(self) -> Bool[Array, "*steps"]:
        """Whether the episode ended at this step or before it, so that the next step is not a part of it."""
        return self.terminated | self.truncated | self.last

    @property
    def weight(self) -> Float[Array, "*steps"]:
        """The weight of each step in a loss: 0 where the action has no effect, and 1 on average."""
        active = (~self.last).astype(self.reward.dtype)
        return active / jnp.maximum(jnp.mean(active), 1 / active.size)


class EnvStates(eqx.Module):
    """Parallel copies of an environment, with the return and the length of each current episode so far."""

    copies: AutoResetState
    episode_return: Float[Array, " batch"]
    episode_length: Int[Array, " batch"]


def reset_envs(env: AbstractEnv, batch: int, key: PRNGKeyArray) -> EnvStates:
    """Resets `batch` copies of an environment."""
    copies = jax.vmap(env.auto_reset)(jax.random.split(key, batch))
    return EnvStates(copies, jnp.zeros(batch), jnp.zeros(batch, int))


def initial_states(policy: AbstractPolicy, batch: int) -> PolicyState:
    """Returns the initial state of a policy, repeated `batch` times."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *jnp.shape(leaf))), policy.initial())


class Acted(NamedTuple):
    """One step of all copies: the states of the policy and of the copies after it, and the step itself."""

    policy_state: PolicyState
    copies: AutoResetState
    step: Trajectory


def act(
    env: AbstractEnv, policy: AbstractPolicy, state: PolicyState, copies: AutoResetState, keys: Keys, time: Int[Array, ""]
) -> Acted:
    """Takes one action in each copy. The policy's key is `jax.random.fold_in(key, time)`, where `key` is the copy's."""

    def choose(state, copy, key):
        observation = env.observe(copy.state)
        return observation, policy(state, observation, copy.first, jax.random.fold_in(key, time))

    observation, (state, action, extras) = jax.vmap(choose)(state, copies, keys)
    after, feedback = jax.vmap(env.auto_step)(copies, action)
    return Acted(state, after, Trajectory(copies.first, copies.last, observation, action, extras, *feedback))


def rollout(
    env: AbstractEnv, policy: AbstractPolicy, state: PolicyState, envs: EnvStates, key: Keys, length: int
) -> tuple[PolicyState, EnvStates, Trajectory, dict[str, Tally]]:
    """Steps each copy `length` times.

    **Arguments:**

    - `state`: the policy's state in each copy; leading axis `[batch]`.
    - `envs`: the copies.
    - `key`: one key, or one for each copy.
    - `length`: the number of steps.

    **Returns:** `(policy_state, envs, trajectory, statistics)`: the states after the rollout, its steps, and the returns
    and lengths of the episodes that ended in it.
    """
    state, envs, (steps, statistics, _) = _steps(env, policy, state, envs, key, length)
    trajectory = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), steps)
    return state, envs, trajectory, jax.tree.map(jnp.sum, statistics)


def _steps(
    env: AbstractEnv,
    policy: AbstractPolicy,
    state: PolicyState,
    envs: EnvStates,
    key: Keys,
    length: int,
    record: Callable[[PolicyState, AutoResetState], Any] = lambda state, copies: None,
) -> tuple[PolicyState, EnvStates, tuple[Trajectory, dict[str, Tally], Any]]:
    """The loop of `rollout`, leading axes `[time, batch]`. `record` receives the policy's states after a step, and the
    copies before it.
    """
    keys = example_keys(key, len(envs.episode_return))

    def one(carry, time):
        state, envs = carry
        state, after, step = act(env, policy, state, envs.copies, keys, time)
        following, statistics = count(envs, after, step)
        return (state, following), (step, statistics, record(state, envs.copies))

    (state, envs), found = jax.lax.scan(one, (state, envs), jnp.arange(length))
    return state, envs, found


def count(envs: EnvStates, after: AutoResetState, step: Trajectory) -> tuple[EnvStates, dict[str, Tally]]:
    """Returns `(envs, statistics)`: the copies after a step, and the statistics of the episodes that ended at it."""
    total, length = envs.episode_return + step.reward, envs.episode_length + (~step.last).astype(int)
    ended = after.last.astype(total.dtype)
    statistics = {
        "episodic_return": Tally(jnp.sum(ended * total), jnp.sum(ended)),
        "episodic_length": Tally(jnp.sum(ended * length.astype(total.dtype)), jnp.sum(ended)),
    }
    return EnvStates(after, jnp.where(after.last, 0, total), jnp.where(after.last, 0, length)), statistics


class Watched(NamedTuple):
    """The steps of one copy; leading axis time.

    - `steps`: the steps.
    - `policy_state`: the state of the policy after each step.
    - `world`: the state of the environment at each step.
    - `cue`: whether the observation shows something that is needed later.
    """

    steps: Trajectory
    policy_state: PolicyState
    world: PyTree[Array]
    cue: Bool[Array, " time"]


def watch(env: AbstractEnv, policy: AbstractPolicy, key: PRNGKeyArray, steps: int) -> Watched:
    """Steps one copy of an environment from a reset, and records all states."""
    reset_key, act_key = jax.random.split(key)

    def record(state, copies):
        return state, copies.state, jax.vmap(env.cue)(copies.state)

    start = (initial_states(policy, 1), reset_envs(env, 1, reset_key))
    step, _, recorded = _steps(env, policy, *start, act_key, steps, record)[2]
    return Watched(*jax.tree.map(lambda leaf: leaf[:, 0], (step, *recorded)))
