"""A check that an environment keeps the contract of `AbstractEnv`."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Space

from farback.envs.base import AbstractEnv, Feedback
from farback.envs.spaces import contains, names, parts, sample
from farback.types import InputError


def check(env: Any, *, steps: int = 1000, seed: int = 0) -> None:
    """Steps an environment with random actions, and raises an `InputError` that names what breaks the contract.

    It checks that the spaces are Gymnasium's; that states, observations, rewards and ends have the right shapes and
    dtypes, the same at every step; that observations lie in their space; that rewards are finite; that the same key
    gives the same episodes; that episodes begin and end as `AutoResetState` defines; and that no stated return is above
    the optimum.

    **Arguments:**

    - `env`: the environment.
    - `steps`: the number of steps.
    - `seed`: the seed of the episodes and the actions.
    """
    name = type(env).__name__
    if not isinstance(env, AbstractEnv):
        raise InputError(f"{name} is no environment: derive it from farback.envs.AbstractEnv.")
    check_shapes(env)
    _check_rollout(env, name, _rollout(env, steps, seed), _rollout(env, steps, seed))
    returns = {which: getattr(env, which) for which in ("optimum", "memoryless", "random")}
    known = {which: value for which, value in returns.items() if not math.isnan(value)}
    if "optimum" in known and known["optimum"] < max(known.values()) - 1e-9:
        raise InputError(f"{name} states {known}: no return can be above the optimum.")


def check_shapes(env: AbstractEnv) -> None:
    """Checks spaces, and the shapes and dtypes of states, observations, rewards and ends, without running a step.

    Hosted environments are checked at every step instead.
    """
    name, key = type(env).__name__, jax.random.key(0)
    for which in ("observation_space", "action_space"):
        if not isinstance(getattr(env, which), Space):
            given = type(getattr(env, which)).__name__
            raise InputError(f"{name}.{which} is a {given}: give a space of gymnasium.spaces.")
        parts(getattr(env, which), names(getattr(env, which)))
    if env.hosted:
        return
    state = jax.eval_shape(env.reset, key)
    action = jax.eval_shape(lambda: sample(env.action_space, key))
    result = jax.eval_shape(env.step, state, action, key)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Feedback)):
        raise InputError(f"{name}.step gives {result}: give the next state, and Feedback(reward, terminated, truncated).")
    following, feedback = result
    if _shapes(following) != _shapes(state):
        raise InputError(
            f"{name}.step gives a state {_shapes(following)}, and {name}.reset one {_shapes(state)}: they must have the "
            f"same structure, shapes and dtypes."
        )
    _check_feedback(name, feedback)
    _check_observation(env, name, jax.eval_shape(env.observe, state))


def _check_feedback(name: str, feedback: Feedback) -> None:
    wanted = {"reward": jnp.floating, "terminated": jnp.bool_, "truncated": jnp.bool_}
    for which, kind in wanted.items():
        given = getattr(feedback, which)
        if given.shape != () or not jnp.issubdtype(given.dtype, kind):
            raise InputError(
                f"{name}.step gives a {which} of shape {given.shape} and dtype {given.dtype}: give a scalar, "
                f"{'a float' if which == 'reward' else 'a boolean'}."
            )


def _check_observation(env: AbstractEnv, name: str, observation: Any) -> None:
    paths = names(env.observation_space)
    if jax.tree.structure(observation) != jax.tree.structure(paths):
        raise InputError(f"{name}.observe gives {_shapes(observation)}, which is not in {env.observation_space}.")
    given, path_of = (parts(env.observation_space, tree) for tree in (observation, paths))
    for (space, value), (_, path) in zip(given, path_of, strict=True):
        kind = np.floating if np.issubdtype(space.dtype, np.floating) else np.integer
        kind = np.uint8 if space.dtype == np.uint8 else kind
        if value.shape != space.shape or not np.issubdtype(value.dtype, kind):
            raise InputError(
                f"{name}.observe(...){path} has the shape {value.shape} and the dtype {value.dtype}, which is not in "
                f"{space}."
            )


def _shapes(tree: Any) -> str:
    return str(jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", tree))


def _rollout(env: AbstractEnv, steps: int, seed: int) -> Any:
    """Returns `(observation, first, last, feedback)` of steps with random actions; leading axis `[steps]`."""

    @eqx.filter_jit
    def run(env, key):
        def one(state, key):
            before = (env.observe(state.state), state.first, state.last)
            state, feedback = env.auto_step(state, sample(env.action_space, key))
            return state, (*before, feedback)

        reset_key, action_key = jax.random.split(key)
        return jax.lax.scan(one, env.auto_reset(reset_key), jax.random.split(action_key, steps))[1]

    return jax.tree.map(np.asarray, run(env, jax.random.key(seed)))


def _check_rollout(env: AbstractEnv, name: str, rollout: Any, repeated: Any) -> None:
    pairs = zip(*map(jax.tree.leaves, (rollout, repeated)), strict=True)
    if any(not np.array_equal(*pair, equal_nan=True) for pair in pairs):
        raise InputError(f"{name} gives two results for one key: draw random numbers from the key only.")
    observation, first, last, feedback = rollout
    given, path_of = (parts(env.observation_space, tree) for tree in (observation, names(env.observation_space)))
    for (space, values), (_, path) in zip(given, path_of, strict=True):
        for time, value in enumerate(values):
            if not contains(space, value):
                raise InputError(
                    f"{name}.observe(...){path} gives {value!r} of dtype {value.dtype} at step {time}, which is not in "
                    f"{space}."
                )
    if not np.isfinite(feedback.reward).all():
        time = int(np.argmin(np.isfinite(feedback.reward)))
        raise InputError(f"{name}.step gives the reward {feedback.reward[time]} at step {time}: rewards are finite.")
    ended = feedback.terminated | feedback.truncated
    if (feedback.terminated & feedback.truncated).any():
        time = int(np.argmax(feedback.terminated & feedback.truncated))
        raise InputError(f"{name}.step both terminates and truncates at step {time}: an episode ends in one way.")
    wrong = (last[1:] != ended[:-1]) | (first[1:] != last[:-1])
    if wrong.any() or not first[0]:
        raise InputError(f"{name}.auto_step sets first or last wrongly: leave auto_reset and auto_step to AbstractEnv.")
