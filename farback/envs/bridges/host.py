"""Vector environments of Gymnasium on the host, outside compiled programs."""

import contextlib
import functools
import secrets
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import jax
import numpy as np
from gymnasium.vector import VectorEnv
from jaxtyping import Array, Int, PyTree

from farback.envs.base import Feedback
from farback.envs.bridges.processes import DividedVectorEnv, Processes
from farback.envs.bridges.vector_env import AutoResetVectorEnv
from farback.envs.spaces import names, parts
from farback.types import InputError


class HostedState(NamedTuple):
    """A copy of a hosted environment: the number of its vector environment, its row there, and its observation."""

    venv: Int[Array, "*copies"]
    row: Int[Array, "*copies"]
    observation: PyTree[Array]


ERRORS: list[InputError] = []
"""The errors that the host raised within a compiled program."""


@contextlib.contextmanager
def host_errors() -> Generator[None]:
    """Raises the `InputError` of a host in place of the JAX error that it causes."""
    ERRORS.clear()
    try:
        yield
    except jax.errors.JaxRuntimeError:
        if ERRORS:
            raise ERRORS.pop() from None
        raise


def _recorded(method):
    """Returns a method whose input errors are recorded for `host_errors`."""

    @functools.wraps(method)
    def recorded(*arguments):
        try:
            return method(*arguments)
        except InputError as error:
            ERRORS.append(error)
            raise

    return recorded


class Host:
    """Makes vector environments, and steps them.

    If a run is resumed in another process, its vector environment is made anew, and the episodes in progress count as
    truncated.

    **Arguments:**

    - `make`: makes a vector environment of a number of copies.
    - `processes`: the number of processes that the copies are divided over. With 1, this process steps them.
    - `apart`: whether another process steps them, even if it is only one.
    """

    def __init__(self, make: Callable[[int], VectorEnv[Any, Any, Any]], processes: int = 1, apart: bool = False):
        if processes < 1:
            raise InputError(f"Gymnasium(processes={processes}): give a positive number.")
        self.make: Callable[[int], VectorEnv[Any, Any, Any]] = make
        self.venvs: dict[int, AutoResetVectorEnv | DividedVectorEnv] = {}
        self.remade: dict[int, Any] = {}
        self.processes = Processes(make, processes) if apart or processes > 1 else None
        venv = AutoResetVectorEnv(make(1)).venv
        self.observation_space, self.action_space = venv.single_observation_space, venv.single_action_space
        venv.close()
        for space in (self.observation_space, self.action_space):
            parts(space, names(space))

    @_recorded
    def reset(self, keys: Any) -> HostedState:
        """Returns new copies, one for each key; the first key seeds all of them."""
        number, copies = secrets.randbits(30), len(keys)
        self.venvs[number] = self._make(copies)
        observation = self.venvs[number].reset(int(np.asarray(keys)[0, -1]) % 2**31)
        row: Any = np.arange(copies)
        return HostedState(np.full_like(row, number), row, observation)

    @_recorded
    def step(self, venv: Any, row: Any, last: Any, action: Any) -> tuple[Any, Any, Feedback]:
        """Returns `(observation, first, feedback)` of copies that may belong to several vector environments."""
        venv, row, last, action = jax.tree.map(np.asarray, (venv, row, last, action))
        results = []
        for number in dict.fromkeys(venv.tolist()):
            rows = np.flatnonzero(venv == number)
            rows = rows[np.argsort(row[rows])]
            its_last, its_action = jax.tree.map(lambda leaf, rows=rows: leaf[rows], (last, action))
            known = number in self.venvs
            results.append((rows, self._step(number, its_last, its_action) if known else self._remake(number, its_last)))
        order = np.argsort(np.concatenate([rows for rows, _ in results]))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *(result for _, result in results))

    def _step(self, number, last, action):
        if number in self.remade:
            return self.remade.pop(number), last, _no_feedback(last)
        observation, feedback = self.venvs[number].step(last, action)
        return observation, last, feedback

    def _remake(self, number, last):
        """Makes a missing vector environment anew, and truncates its episodes."""
        self.venvs[number] = self._make(len(last))
        self.remade[number] = self.venvs[number].reset(number)
        return self.remade[number], last, _no_feedback(last)._replace(truncated=~last)

    def _make(self, copies):
        if self.processes is not None:
            return DividedVectorEnv(self.processes, copies)
        return AutoResetVectorEnv(self.make(copies))


def _no_feedback(last):
    zeros: Any = np.zeros(len(last))
    return Feedback(zeros, zeros > 0, zeros > 0)
