"""Environments of gymnax, as Engram's; gymnax itself is not imported."""

from typing import Any, NamedTuple

import equinox as eqx
import gymnasium.spaces
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from engram.envs.base import AbstractEnv, Feedback, State
from engram.envs.spaces import as_array, mapped, sample
from engram.types import InputError


class Shown(NamedTuple):
    """A state of gymnax, what is seen of it, and the time."""

    state: State
    observation: Any
    time: Int[Array, ""]


class World:
    """An environment of gymnax with its parameters, and what is known of it before it is played."""

    def __init__(self, env: Any, params: Any):
        missing = [
            name for name in ("reset_env", "step_env", "action_space", "observation_space") if not hasattr(env, name)
        ]
        if missing:
            raise InputError(f"Gymnax(env): {type(env).__name__} has no {missing[0]}; give an environment of gymnax.")
        self.env, self.params = env, env.default_params if params is None else params
        self.observation_space = space(env.observation_space(self.params))
        self.action_space = space(env.action_space(self.params))
        self.limit = getattr(self.params, "max_steps_in_episode", None)
        self.splits_ends = len(jax.eval_shape(self._one_step, jax.random.key(0))) == 6

    def _one_step(self, key):
        _, state = self.env.reset_env(key, self.params)
        action = sample(self.action_space, key)
        return jax.tree.map(jnp.asarray, self.env.step(key, state, action, self.params))


class Gymnax(AbstractEnv):
    """An environment of gymnax, `env, params = gymnax.make(name)`, whatever its version.

    Its episodes are truncated after `params.max_steps_in_episode` steps, where there are such. Of gymnax before 1.0, which
    has one word for both ends, whatever ends at that very step is taken to be truncated; later versions tell.

    **Arguments:**

    - `env`: the environment of gymnax. Its own resets are not used.
    - `params`: its parameters, or its `default_params`.
    """

    world: World = eqx.field(static=True)

    def __init__(self, env: Any, params: Any = None):
        self.world = World(env, params)

    @property
    def observation_space(self) -> Any:
        return self.world.observation_space

    @property
    def action_space(self) -> Any:
        return self.world.action_space

    def reset(self, key: PRNGKeyArray) -> Shown:
        observation, state = self.world.env.reset_env(key, self.world.params)
        state = jax.tree.map(jnp.asarray, state)
        return Shown(state, mapped(as_array, self.observation_space, observation), jnp.zeros((), int))

    def observe(self, state: Shown) -> Any:
        return state.observation

    def step(self, state: Shown, action: Any, key: PRNGKeyArray) -> tuple[Shown, Feedback]:
        given = self.world.env.step_env(key, state.state, action, self.world.params)
        observation, following, reward, *ends, _ = given
        observation = mapped(as_array, self.observation_space, observation)
        shown = Shown(like(state.state, following), observation, state.time + 1)
        terminated, truncated = self._ends(shown.time, *(jnp.asarray(end, bool) for end in ends))
        return shown, Feedback(jnp.asarray(reward, float).reshape(()), terminated, truncated)

    def _ends(
        self, time: Int[Array, ""], ended: Bool[Array, ""], truncated: Bool[Array, ""] | None = None
    ) -> tuple[Bool[Array, ""], Bool[Array, ""]]:
        """Whether an episode is terminated, and truncated, by what gymnax says of its end."""
        late = jnp.array(False) if self.world.limit is None else time >= jnp.asarray(self.world.limit)
        if truncated is not None:
            return ended, ~ended & (truncated | late)
        if self.world.splits_ends:
            return ended, ~ended & late
        return ended & ~late, ended & late


def like(before: Any, after: Any) -> Any:
    """A pytree with the data types of another, where they are of one kind."""

    def one(before, after):
        after = jnp.asarray(after)
        same = any(all(jnp.issubdtype(x.dtype, kind) for x in (before, after)) for kind in (jnp.floating, jnp.integer))
        return after.astype(before.dtype) if same else after

    return jax.tree.map(one, before, after)


def space(of: Any) -> gymnasium.spaces.Space[Any]:
    """A space of gymnax as one of Gymnasium."""
    if hasattr(of, "spaces"):
        if isinstance(of.spaces, dict):
            return gymnasium.spaces.Dict({name: space(part) for name, part in of.spaces.items()})
        return gymnasium.spaces.Tuple([space(part) for part in of.spaces])
    if hasattr(of, "n"):
        return gymnasium.spaces.Discrete(int(of.n))
    if hasattr(of, "low") and hasattr(of, "high"):
        kind = np.dtype(of.dtype)
        low, high = (np.broadcast_to(np.asarray(bound, kind), of.shape) for bound in (of.low, of.high))
        return gymnasium.spaces.Box(low, high, dtype=kind.type)
    raise InputError(
        f"Gymnax(env): {of!r} is no space that Gymnasium has too; give spaces with n, low and high, or spaces."
    )
