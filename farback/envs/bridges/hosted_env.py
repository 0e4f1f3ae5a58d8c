"""Environments that the host steps, in compiled programs."""

import functools
from typing import Any, NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Space
from jax.experimental import io_callback
from jaxtyping import PRNGKeyArray

from farback.envs.base import AbstractEnv, AutoResetState, Feedback, State
from farback.envs.bridges.host import Host, HostedState
from farback.envs.spaces import sample
from farback.ops.batching import batched
from farback.types import InputError


class AbstractHostedEnv(AbstractEnv):
    """An environment that the host resets and steps as a whole, by `auto_reset` and `auto_step`. Under `jax.vmap` its
    copies are one vector environment of Gymnasium. Compiled programs call the host at each step, once for all copies.
    """

    host: eqx.AbstractVar[Host]

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
        raise InputError(f"{type(self).__name__}(...) {AS_A_WHOLE}")

    def step(self, state: State, action: Any, key: PRNGKeyArray) -> NoReturn:
        raise InputError(f"{type(self).__name__}(...) {AS_A_WHOLE}")

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
    "has no reset and no step of its own: the host steps it, by auto_reset and auto_step; use one of Gymnasium's wrappers "
    "inside Gymnasium(...)."
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
