"""Engram's environments as Gymnasium's, for whatever agents are written for those."""

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

from engram.envs.base import AbstractEnv, Feedback, Play
from engram.envs.spaces import as_array, contains, mapped, names, parts
from engram.types import InputError


class GymEnv(gymnasium.Env[Any, Any]):
    """An environment of Engram as one of Gymnasium: an episode is over as soon as `terminated or truncated`.

    A seed s begins with `jax.random.key(s)`, and plays what `AbstractEnv.begin` and `AbstractEnv.act` play from it. Resets
    without a seed go on from there.

    **Arguments:**

    - `env`: the environment.
    - `render_mode`: `"ansi"`, for `render` to give a line of text.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 5}  # noqa: RUF012 — Gymnasium's own

    def __init__(self, env: AbstractEnv, render_mode: str | None = None):
        if render_mode not in (None, "ansi"):
            raise InputError(f"render_mode={render_mode!r}: environments here are shown as text; give 'ansi', or None.")
        self.env, self.render_mode = env, render_mode
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self._play: Play | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is None and self._play is not None:
            key = self._play.key
        else:
            key = jax.random.key(int(self.np_random.integers(2**31)) if seed is None else seed)
        self._play, seen = _begin(self.env, key)
        return _numpy(self.observation_space, seen), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._play is None or self._play.over:
            raise InputError("step(action): no episode has begun, or it is over; call reset() before.")
        action = checked(self.action_space, action)
        self._play, seen, feedback = _act(self.env, self._play, action)
        reward, terminated, truncated = feedback
        return _numpy(self.observation_space, seen), float(reward), bool(terminated), bool(truncated), {}

    def render(self) -> str | None:
        if self.render_mode is None or self._play is None:
            return None
        return self.env.text(jax.tree.map(np.asarray, self._play.state))


class GymVectorEnv(VectorEnv[Any, Any, Any]):
    """Copies of an environment of Engram, stepped together in one compiled program, as a vector environment of Gymnasium.

    Autoresets are of the next step. A seed s gives the seeds s, s + 1, … to the copies, so that they play what `GymEnv`s
    in a `gymnasium.vector.SyncVectorEnv` play.

    **Arguments:**

    - `env`: the environment.
    - `num_envs`: how many copies.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, env: AbstractEnv, num_envs: int):
        if num_envs < 1:
            raise InputError(f"num_envs={num_envs}: give 1 copy or more.")
        self.env, self.num_envs = env, num_envs
        self.single_observation_space, self.single_action_space = env.observation_space, env.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._plays: Play | None = None

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed if isinstance(seed, int) else None)
        if seed is None and self._plays is not None:
            keys = self._plays.key
        else:
            keys = jnp.stack([jax.random.key(one) for one in self._seeds(seed)])
        chosen = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        self._plays, seen = _begin_all(self.env, keys, self._plays, chosen)
        return _numpy(self.single_observation_space, seen), {}

    def _seeds(self, seed: int | list[int] | None) -> list[int]:
        """One for each copy."""
        if seed is None:
            return self.np_random.integers(2**31, size=self.num_envs).tolist()
        if isinstance(seed, int):
            return [seed + copy for copy in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise InputError(f"reset(seed={seed}): give one seed, or one for each of the {self.num_envs} copies.")
        return seed

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if self._plays is None:
            raise InputError("step(actions): no episode has begun; call reset() before.")
        actions = checked(self.single_action_space, actions, (self.num_envs,))
        self._plays, seen, (reward, terminated, truncated) = _act_all(self.env, self._plays, actions)
        ends = np.array(terminated), np.array(truncated)
        return _numpy(self.single_observation_space, seen), np.array(reward, np.float64), *ends, {}


@eqx.filter_jit
def _begin(env: AbstractEnv, key: PRNGKeyArray) -> tuple[Play, Any]:
    play = env.begin(key)
    return play, env.observe(play.state)


@eqx.filter_jit
def _act(env: AbstractEnv, play: Play, action: Any) -> tuple[Play, Any, Feedback]:
    play, feedback = env.act(play, action)
    return play, env.observe(play.state), feedback


@eqx.filter_jit
def _begin_all(env: AbstractEnv, keys: Any, plays: Play | None, chosen: Any) -> tuple[Play, Any]:
    """All copies, of which those that are chosen are at a beginning."""

    def one(chosen, begun, play):
        return jax.tree.map(lambda new, old: jnp.where(chosen, new, old), begun, play)

    begun = jax.vmap(env.begin)(keys)
    begun = begun if plays is None else jax.vmap(one)(chosen, begun, plays)
    return begun, jax.vmap(env.observe)(begun.state)


@eqx.filter_jit
def _act_all(env: AbstractEnv, plays: Play, actions: Any) -> tuple[Play, Any, Feedback]:
    plays, feedback = jax.vmap(env.act)(plays, actions)
    return plays, jax.vmap(env.observe)(plays.state), feedback


def checked(space: Space[Any], action: Any, batch: tuple[int, ...] = ()) -> Any:
    """An action, or several of leading shape `batch`, as arrays for compiled programs, where they lie in their space."""
    given = parts(space, action)
    for (part, values), (_, where) in zip(given, parts(space, names(space)), strict=True):
        if not contains(part, values, batch):
            shown = f" of shape {batch}, each" if batch else ""
            raise InputError(f"step(action): action{where} is {values!r}, but is to lie{shown} in {part}.")
    return mapped(as_array, space, action)


def _numpy(space: Space[Any], x: Any) -> Any:
    """Elements of a space as new arrays of its data types; a single one of a space without a shape is a number."""
    return mapped(lambda space, x: np.array(x, space.dtype)[... if isinstance(space, Box) else ()], space, x)
