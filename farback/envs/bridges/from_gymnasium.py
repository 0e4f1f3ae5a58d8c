"""Gymnasium's environments in compiled programs, stepped by the host."""

import functools
from collections.abc import Callable
from typing import Any, NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector import VectorEnv
from jax.experimental import io_callback
from jaxtyping import PRNGKeyArray

from farback.envs.base import AbstractEnv, AutoResetState, Feedback, State
from farback.envs.bridges.host import Host, HostedState
from farback.envs.bridges.host import host_errors as host_errors
from farback.envs.bridges.physics import BodySettings
from farback.envs.bridges.vector_env import make_vector_env
from farback.envs.spaces import sample
from farback.ops.batching import batched
from farback.types import InputError


class Gymnasium(AbstractEnv):
    """An environment of Gymnasium; under `jax.vmap`, its copies are one vector environment on the host.

    Compiled programs call the host at each step, once for all copies. The host's state is not part of `AutoResetState`:
    when a run is resumed in another process, the episodes in progress are truncated and new ones begin.

    The last observation of an episode has a step of its own (see `AutoResetState`). Vector environments with the NEXT_STEP
    autoreset mode have that step too. With other modes, the copy takes a step of a hidden episode there, and is then reset
    by `options={"reset_mask": ...}`: one more reset per episode.

    The host resets and steps it as a whole, by `auto_reset` and `auto_step`. `PreviousActionReward(Gymnasium(...))` and
    `MemoryStates(Gymnasium(...), 4)` work. Wrappers that call its `reset` or `step`, such as `Trials` and `Curriculum`, do
    not: use Gymnasium's own wrappers.

    **Arguments:**

    - `make`: an id of Gymnasium's registry, for `gymnasium.make_vec`, or a function from a number of copies to a vector
      environment.
    - `dt`: the seconds between two actions, for the ids of MuJoCo's environments, such as HalfCheetah-v5, and for
      BipedalWalker-v3. By default, the environment is not in physical time. The reward of these environments is a rate:
      `PerSecond` makes it the reward of a step.
    - `seconds`: with `dt`, the duration of an episode; by default, that of the environment as registered.
    - `physics_step`: with `dt`, the seconds of one step of MuJoCo's physics, which divides `dt`; by default, that of the
      model. To compare time steps, give all of them the same.
    - `processes`: the number of processes that the copies are divided over, which step them at the same time. Give 1, the
      default, unless a step of the copies takes more than a millisecond.
    """

    host: Host = eqx.field(static=True)
    body: BodySettings | None = eqx.field(static=True)

    def __init__(
        self,
        make: str | Callable[[int], VectorEnv[Any, Any, Any]],
        dt: float | None = None,
        seconds: float | None = None,
        physics_step: float | None = None,
        processes: int = 1,
    ):
        if dt is not None and isinstance(make, str):
            self.body = BodySettings(make, dt, seconds, physics_step)
            self.host = Host(self.body, processes)
            return
        if dt is not None or seconds is not None or physics_step is not None:
            raise InputError(
                "Gymnasium(make, dt, seconds, physics_step): dt needs an id, such as 'HalfCheetah-v5'; seconds and "
                "physics_step need dt."
            )
        self.body = None
        self.host = Host(functools.partial(make_vector_env, make) if isinstance(make, str) else make, processes)

    @property
    def time_step(self) -> float | None:
        return self.body and self.body.dt

    @property
    def max_episode_steps(self) -> int | None:
        return self.body and self.body.max_episode_steps

    @property
    def observation_space(self) -> Space[Any]:
        return self.host.observation_space

    @property
    def action_space(self) -> Space[Any]:
        return self.host.action_space

    @property
    def hosted(self) -> bool:
        return True

    def observe(self, state: HostedState) -> Any:
        return state.observation

    def reset(self, key: PRNGKeyArray) -> NoReturn:
        raise InputError(AS_A_WHOLE)

    def step(self, state: State, action: Any, key: PRNGKeyArray) -> NoReturn:
        raise InputError(AS_A_WHOLE)

    def auto_reset(self, key: PRNGKeyArray) -> AutoResetState:
        state = _for_all(self._reset_all)(jax.random.key_data(key))
        return AutoResetState(state, jnp.array(True), jnp.array(False), key)

    def auto_step(self, state: AutoResetState, action: Any) -> tuple[AutoResetState, Feedback]:
        venv, row, _ = state.state
        observation, first, feedback = _for_all(self._step_all)(venv, row, state.last, action)
        last = feedback.terminated | feedback.truncated
        return AutoResetState(HostedState(venv, row, observation), first, last, state.key), feedback

    def _reset_all(self, keys):
        number = _shape_of_all(len(keys), int)
        return _call(self.host.reset, HostedState(number, number, self._observations(len(keys))), keys)

    def _step_all(self, venv, row, last, action):
        copies = len(venv)
        reward, flag = _shape_of_all(copies, float), _shape_of_all(copies, bool)
        result = (self._observations(copies), flag, Feedback(reward, flag, flag))
        return _call(self.host.step, result, venv, row, last, action)

    def _observations(self, copies):
        """The shapes and dtypes of the observations of all copies; images keep their 8 bits."""
        one = jax.eval_shape(functools.partial(sample, self.observation_space), jax.random.key(0))
        return jax.tree.map(lambda leaf: _shape_of_all(copies, leaf.dtype, leaf.shape), one)


AS_A_WHOLE = (
    "Gymnasium(...) has no reset and no step of its own: the host steps it, by auto_reset and auto_step; use one of "
    "Gymnasium's wrappers inside Gymnasium(...)."
)


def _shape_of_all(copies: int, kind: Any, shape: tuple[int, ...] = ()) -> Any:
    return jax.ShapeDtypeStruct((copies, *shape), jax.dtypes.canonicalize_dtype(kind))


def _call(function, result, *arguments):
    """Calls the host, whose results are cast to the dtypes of `result`."""

    def cast(*arguments):
        return jax.tree.map(lambda leaf, like: np.asarray(leaf, like.dtype), function(*arguments), result)

    return io_callback(cast, result, *arguments)


def _for_all(function):
    """Returns a function of one copy from a function of all copies."""
    of_all = batched(function)

    def of_one(*arguments):
        first = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], arguments)
        return jax.tree.map(lambda leaf: leaf[0], of_all(*first))

    return of_one
