"""A check that an environment keeps its contract."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Space

from engram.envs.base import AbstractEnv, Feedback
from engram.envs.host import Gymnasium
from engram.envs.spaces import contains, names, parts, sample
from engram.types import InputError


def check(env: Any, *, steps: int = 1000, seed: int = 0) -> None:
    """Plays an environment with random actions, and refuses one that breaks the contract, by the name of what broke it.

    Looked at are: spaces; that states, observations, rewards and ends have the shapes and kinds that they should, at every
    step the same; that observations lie in their space; that nothing is NaN; that the same key gives the same play; that
    another key gives another, or the same observation at least; that episodes begin and end where `Play` says so; and that
    what is stated of returns can be true.

    **Arguments:**

    - `env`: the environment.
    - `steps`: how long it is played.
    - `seed`: of the play.
    """
    name = type(env).__name__
    if not isinstance(env, AbstractEnv):
        raise InputError(f"{name} is no environment: derive it from engram.envs.AbstractEnv.")
    check_shapes(env)
    _check_play(env, name, _play(env, steps, seed), _play(env, steps, seed))
    returns = {what: getattr(env, what) for what in ("optimum", "memoryless", "random")}
    known = {what: value for what, value in returns.items() if not math.isnan(value)}
    if "optimum" in known and known["optimum"] < max(known.values()) - 1e-9:
        raise InputError(f"{name} states {known}: nothing can be above the optimum.")


def check_shapes(env: AbstractEnv) -> None:
    """Refuses an environment whose spaces, states, observations, rewards or ends have not the shapes and kinds they should.

    Nothing is played, so that it costs next to nothing; what a host gives is looked at in each step.
    """
    name, key = type(env).__name__, jax.random.key(0)
    for what in ("observation_space", "action_space"):
        if not isinstance(getattr(env, what), Space):
            shown = type(getattr(env, what)).__name__
            raise InputError(f"{name}.{what} is a {shown}: give a space of gymnasium.spaces.")
        parts(getattr(env, what), names(getattr(env, what)))
    if isinstance(env, Gymnasium):
        return
    state = jax.eval_shape(env.reset, key)
    action = jax.eval_shape(lambda: sample(env.action_space, key))
    given = jax.eval_shape(env.step, state, action, key)
    if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Feedback)):
        raise InputError(f"{name}.step gives {given}: give the next state, and Feedback(reward, terminated, truncated).")
    following, feedback = given
    if _shapes(following) != _shapes(state):
        raise InputError(
            f"{name}.step gives a state {_shapes(following)}, and {name}.reset one {_shapes(state)}: they must have the "
            f"same structure, shapes and dtypes."
        )
    wanted = {"reward": jnp.floating, "terminated": jnp.bool_, "truncated": jnp.bool_}
    for what, kind in wanted.items():
        found = getattr(feedback, what)
        if found.shape != () or not jnp.issubdtype(found.dtype, kind):
            raise InputError(
                f"{name}.step gives a {what} of shape {found.shape} and dtype {found.dtype}: give a scalar, "
                f"{'a float' if what == 'reward' else 'a boolean'}."
            )
    seen, called = jax.eval_shape(env.observe, state), names(env.observation_space)
    if jax.tree.structure(seen) != jax.tree.structure(called):
        raise InputError(f"{name}.observe gives {_shapes(seen)}, which is not in {env.observation_space}.")
    found, where_each = (parts(env.observation_space, tree) for tree in (seen, called))
    for (space, value), (_, where) in zip(found, where_each, strict=True):
        kind = np.floating if np.issubdtype(space.dtype, np.floating) else np.integer
        if value.shape != space.shape or not np.issubdtype(value.dtype, kind):
            raise InputError(
                f"{name}.observe(...){where} has the shape {value.shape} and the dtype {value.dtype}, which is not in "
                f"{space}."
            )


def _shapes(tree: Any) -> str:
    return str(jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", tree))


def _play(env: AbstractEnv, steps: int, seed: int) -> Any:
    """A play with random actions: for each step, what is seen, and whether it is first or over; and what came of it."""

    @eqx.filter_jit
    def run(env, key):
        def one(play, key):
            seen = (env.observe(play.state), play.first, play.over)
            play, feedback = env.act(play, sample(env.action_space, key))
            return play, (*seen, feedback)

        begin, act = jax.random.split(key)
        return jax.lax.scan(one, env.begin(begin), jax.random.split(act, steps))[1]

    return jax.tree.map(np.asarray, run(env, jax.random.key(seed)))


def _check_play(env: AbstractEnv, name: str, played: Any, again: Any) -> None:
    if any(not np.array_equal(*pair, equal_nan=True) for pair in zip(*map(jax.tree.leaves, (played, again)), strict=True)):
        raise InputError(f"{name} played twice from one key is not the same: take chance from the key alone.")
    seen, first, over, feedback = played
    found, where_each = (parts(env.observation_space, tree) for tree in (seen, names(env.observation_space)))
    for (space, values), (_, where) in zip(found, where_each, strict=True):
        for time, value in enumerate(values):
            if not contains(space, value):
                raise InputError(
                    f"{name}.observe(...){where} gives {value!r} of dtype {value.dtype} at step {time}, which is not in "
                    f"{space}."
                )
    if not np.isfinite(feedback.reward).all():
        time = int(np.argmin(np.isfinite(feedback.reward)))
        raise InputError(f"{name}.step gives the reward {feedback.reward[time]} at step {time}: rewards are finite.")
    ended = feedback.terminated | feedback.truncated
    if (feedback.terminated & feedback.truncated).any():
        time = int(np.argmax(feedback.terminated & feedback.truncated))
        raise InputError(f"{name}.step both terminates and truncates at step {time}: an episode ends in one way.")
    wrong = (over[1:] != ended[:-1]) | (first[1:] != over[:-1])
    if wrong.any() or not first[0]:
        raise InputError(f"{name}.act is out of step: leave begin and act to AbstractEnv.")
