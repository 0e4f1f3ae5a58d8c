"""Farback's environments as Gymnasium's, for agents that are written for Gymnasium."""

from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Space
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import PRNGKeyArray

from farback.envs.base import AbstractEnv, AutoResetState, Feedback
from farback.envs.spaces import as_array, contains, mapped, names, parts
from farback.types import InputError


class GymEnv(gymnasium.Env[Any, Any]):
    """An environment of Farback as one of Gymnasium; an episode ends with `terminated or truncated`.

    A seed s gives the episodes of `AbstractEnv.auto_reset(jax.random.key(s))`. Resets without a seed continue its random
    numbers.

    **Arguments:**

    - `env`: the environment.
    - `render_mode`: what `render` returns: `"ansi"` for a line of text, `"rgb_array"` for an image if the environment has
      one, or None.
    """

    def __init__(self, env: AbstractEnv, render_mode: str | None = None):
        modes = ["ansi"] if env.hosted or not _shapes_of_images(env) else ["ansi", "rgb_array"]
        if render_mode not in (None, *modes):
            known = ", ".join(map(repr, modes))
            raise InputError(f"render_mode={render_mode!r}: {type(env).__name__} has the modes {known}; give one, or None.")
        self.metadata = {"render_modes": modes, "render_fps": 5}
        self.env, self.render_mode = env, render_mode
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self._state: AutoResetState | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is None and self._state is not None:
            key = self._state.key
        else:
            key = jax.random.key(int(self.np_random.integers(2**31)) if seed is None else seed)
        self._state, observation = _reset(self.env, key)
        return _numpy(self.observation_space, observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._state is None or self._state.last:
            raise InputError("step(action): there is no episode, or it has ended; call reset() first.")
        action = checked_action(self.action_space, action)
        self._state, observation, feedback = _step(self.env, self._state, action)
        reward, terminated, truncated = feedback
        return _numpy(self.observation_space, observation), float(reward), bool(terminated), bool(truncated), {}

    def render(self) -> Any:
        if self.render_mode is None or self._state is None:
            return None
        if self.render_mode == "ansi":
            return self.env.render_text(jax.tree.map(np.asarray, self._state.state))
        return np.asarray(_render(self.env, self._state.state)["view"])


class GymVectorEnv(VectorEnv[Any, Any, Any]):
    """Copies of an environment of Farback, stepped in one compiled program, as a vector environment of Gymnasium.

    The autoreset mode is NEXT_STEP. A seed s gives the seeds s, s + 1, … to the copies, whose episodes are those of
    `GymEnv`s in a `gymnasium.vector.SyncVectorEnv`.

    **Arguments:**

    - `env`: the environment.
    - `num_envs`: the number of copies.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, env: AbstractEnv, num_envs: int):
        if num_envs < 1:
            raise InputError(f"num_envs={num_envs}: give 1 copy or more.")
        self.env, self.num_envs = env, num_envs
        self.single_observation_space, self.single_action_space = env.observation_space, env.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._states: AutoResetState | None = None

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed if isinstance(seed, int) else None)
        if seed is None and self._states is not None:
            keys = self._states.key
        else:
            keys = jnp.stack([jax.random.key(one) for one in self._seeds(seed)])
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        self._states, observation = _reset_all(self.env, keys, self._states, mask)
        return _numpy(self.single_observation_space, observation), {}

    def _seeds(self, seed: int | list[int] | None) -> list[int]:
        """Returns one seed for each copy."""
        if seed is None:
            return self.np_random.integers(2**31, size=self.num_envs).tolist()
        if isinstance(seed, int):
            return [seed + copy for copy in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise InputError(f"reset(seed={seed}): give one seed, or one for each of the {self.num_envs} copies.")
        return seed

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if self._states is None:
            raise InputError("step(actions): there is no episode; call reset() first.")
        actions = checked_action(self.single_action_space, actions, (self.num_envs,))
        self._states, observation, (reward, terminated, truncated) = _step_all(self.env, self._states, actions)
        ends = np.array(terminated), np.array(truncated)
        return _numpy(self.single_observation_space, observation), np.array(reward, np.float64), *ends, {}


@eqx.filter_jit
def _reset(env: AbstractEnv, key: PRNGKeyArray) -> tuple[AutoResetState, Any]:
    state = env.auto_reset(key)
    return state, env.observe(state.state)


@eqx.filter_jit
def _render(env: AbstractEnv, state: Any) -> dict[str, Any]:
    return env.render_images(state)


def _shapes_of_images(env: AbstractEnv) -> dict[str, Any]:
    return jax.eval_shape(lambda key: env.render_images(env.reset(key)), jax.random.key(0))


@eqx.filter_jit
def _step(env: AbstractEnv, state: AutoResetState, action: Any) -> tuple[AutoResetState, Any, Feedback]:
    state, feedback = env.auto_step(state, action)
    return state, env.observe(state.state), feedback


@eqx.filter_jit
def _reset_all(env: AbstractEnv, keys: Any, states: AutoResetState | None, mask: Any) -> tuple[AutoResetState, Any]:
    """Returns all copies and their observations; those of the mask begin a new sequence of episodes."""

    def one(chosen, fresh, state):
        return jax.tree.map(lambda new, old: jnp.where(chosen, new, old), fresh, state)

    fresh = jax.vmap(env.auto_reset)(keys)
    fresh = fresh if states is None else jax.vmap(one)(mask, fresh, states)
    return fresh, jax.vmap(env.observe)(fresh.state)


@eqx.filter_jit
def _step_all(env: AbstractEnv, states: AutoResetState, actions: Any) -> tuple[AutoResetState, Any, Feedback]:
    states, feedback = jax.vmap(env.auto_step)(states, actions)
    return states, jax.vmap(env.observe)(states.state), feedback


def checked_action(space: Space[Any], action: Any, batch: tuple[int, ...] = ()) -> Any:
    """Returns an action, or actions of leading shape `batch`, as arrays, after checking that they lie in their space."""
    try:
        given = parts(space, action)
    except InputError:
        raise
    except (KeyError, TypeError, IndexError, ValueError):
        raise InputError(f"step(action): action is {action!r}, which does not have the structure of {space}.") from None
    for (part, values), (_, path) in zip(given, parts(space, names(space)), strict=True):
        if not contains(part, values, batch):
            shape = f" of shape {batch}, each" if batch else ""
            raise InputError(f"step(action): action{path} is {values!r}, but must be{shape} in {part}.")
    return mapped(as_array, space, action)


def _numpy(space: Space[Any], x: Any) -> Any:
    """Returns elements of a space as new arrays of its dtypes; scalars of a space without a shape as NumPy scalars."""
    return mapped(lambda space, x: np.array(x, space.dtype)[... if isinstance(space, Box) else ()], space, x)
