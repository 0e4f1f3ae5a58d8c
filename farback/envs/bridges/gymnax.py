"""Environments of gymnax as Farback's; gymnax itself is not imported."""

from typing import Any, NamedTuple

import equinox as eqx
import gymnasium.spaces
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from farback.envs.base import AbstractEnv, Feedback, State
from farback.envs.spaces import as_array, mapped, sample
from farback.types import InputError


class GymnaxState(NamedTuple):
    """A state of gymnax, its observation, and the time."""

    state: State
    observation: Any
    time: Int[Array, ""]


class GymnaxSpec:
    """An environment of gymnax with its parameters, and constants derived from them."""

    def __init__(self, env: Any, params: Any):
        missing = [
            name for name in ("reset_env", "step_env", "action_space", "observation_space") if not hasattr(env, name)
        ]
        if missing:
            raise InputError(f"Gymnax(env): {type(env).__name__} has no {missing[0]}; give an environment of gymnax.")
        self.env, self.params = env, env.default_params if params is None else params
        self.observation_space = space_from_gymnax(env.observation_space(self.params))
        self.action_space = space_from_gymnax(env.action_space(self.params))
        self.limit = getattr(self.params, "max_steps_in_episode", None)
        self.splits_ends = len(jax.eval_shape(self._one_step, jax.random.key(0))) == 6

    def _one_step(self, key):
        _, state = self.env.reset_env(key, self.params)
        action = sample(self.action_space, key)
        return jax.tree.map(jnp.asarray, self.env.step(key, state, action, self.params))


class Gymnax(AbstractEnv):
    """An environment of gymnax, `env, params = gymnax.make(name)`, of any version.

    Episodes are truncated after `params.max_steps_in_episode` steps, if there is such a parameter. Versions of gymnax
    before 1.0 have one flag for both ends: an end at that very step counts as a truncation.

    **Arguments:**

    - `env`: the environment of gymnax. Its own auto-reset is not used.
    - `params`: its parameters; by default its `default_params`.
    """

    spec: GymnaxSpec = eqx.field(static=True)

    def __init__(self, env: Any, params: Any = None):
        self.spec = GymnaxSpec(env, params)

    @property
    def observation_space(self) -> Any:
        return self.spec.observation_space

    @property
    def action_space(self) -> Any:
        return self.spec.action_space

    def reset(self, key: PRNGKeyArray) -> GymnaxState:
        observation, state = self.spec.env.reset_env(key, self.spec.params)
        state = jax.tree.map(jnp.asarray, state)
        return GymnaxState(state, mapped(as_array, self.observation_space, observation), jnp.zeros((), int))

    def observe(self, state: GymnaxState) -> Any:
        return state.observation

    def step(self, state: GymnaxState, action: Any, key: PRNGKeyArray) -> tuple[GymnaxState, Feedback]:
        result = self.spec.env.step_env(key, state.state, action, self.spec.params)
        observation, following, reward, *ends, _ = result
        observation = mapped(as_array, self.observation_space, observation)
        after = GymnaxState(_with_dtypes_of(state.state, following), observation, state.time + 1)
        terminated, truncated = self._ends(after.time, *(jnp.asarray(end, bool) for end in ends))
        return after, Feedback(jnp.asarray(reward, float).reshape(()), terminated, truncated)

    def _ends(
        self, time: Int[Array, ""], ended: Bool[Array, ""], truncated: Bool[Array, ""] | None = None
    ) -> tuple[Bool[Array, ""], Bool[Array, ""]]:
        """Returns `(terminated, truncated)` from the one or two flags of gymnax."""
        late = jnp.array(False) if self.spec.limit is None else time >= jnp.asarray(self.spec.limit)
        if truncated is not None:
            return ended, ~ended & (truncated | late)
        if self.spec.splits_ends:
            return ended, ~ended & late
        return ended & ~late, ended & late


def _with_dtypes_of(before: Any, after: Any) -> Any:
    """Returns `after` with the bits of the floats and integers of `before`."""

    def one(before, after):
        after = jnp.asarray(after)
        same = any(all(jnp.issubdtype(x.dtype, kind) for x in (before, after)) for kind in (jnp.floating, jnp.integer))
        return after.astype(before.dtype) if same else after

    return jax.tree.map(one, before, after)


def space_from_gymnax(space: Any) -> gymnasium.spaces.Space[Any]:
    """Returns a space of gymnax as a space of Gymnasium."""
    if hasattr(space, "spaces"):
        if isinstance(space.spaces, dict):
            return gymnasium.spaces.Dict({name: space_from_gymnax(part) for name, part in space.spaces.items()})
        return gymnasium.spaces.Tuple([space_from_gymnax(part) for part in space.spaces])
    if hasattr(space, "n"):
        return gymnasium.spaces.Discrete(int(space.n))
    if hasattr(space, "low") and hasattr(space, "high"):
        kind = np.dtype(space.dtype)
        low, high = (np.broadcast_to(np.asarray(bound, kind), space.shape) for bound in (space.low, space.high))
        return gymnasium.spaces.Box(low, high, dtype=kind.type)
    raise InputError(f"Gymnax(env): Gymnasium has no space like {space!r}; give one with n, low and high, or spaces.")
