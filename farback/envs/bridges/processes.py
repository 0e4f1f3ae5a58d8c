"""Vector environments of Gymnasium divided over processes."""

import contextlib
import itertools
import os
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from gymnasium.vector import VectorEnv

from farback.envs.base import Feedback
from farback.envs.bridges.vector_env import AutoResetVectorEnv
from farback.types import InputError

WORKER = "FARBACK_WORKER"
"""The variable of the environment that has the number of a process."""
REMEDY = "give an id, or a function that a module defines"


class Processes:
    """Processes that step parts of vector environments. They end when this object does.

    **Arguments:**

    - `make`: makes a vector environment of a number of copies. It is sent to the processes.
    - `count`: the number of processes.
    """

    def __init__(self, make: Callable[[int], VectorEnv[Any, Any, Any]], count: int):
        try:
            made = pickle.dumps(make)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(f"Gymnasium(make, processes): another process cannot read make ({error}); {REMEDY}.") from None
        variables = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command, pipe = [sys.executable, "-c", f"from {__name__} import serve; serve()"], subprocess.PIPE
        self.all = [  # in a session of their own, so that Ctrl-C reaches only the run, which then ends its update
            subprocess.Popen(
                command, stdin=pipe, stdout=pipe, env=variables | {WORKER: str(worker)}, start_new_session=True
            )
            for worker in range(count)
        ]
        weakref.finalize(self, _end, self.all)
        self.numbers = itertools.count()
        for process in self.all:
            _send(process, made)

    def ask(self, messages: Sequence[Any]) -> Any:
        """Sends each of the first processes its message, and returns their answers as one."""
        asked = self.all[: len(messages)]
        for process, message in zip(asked, messages, strict=True):
            _send(process, message)
        answers = [_receive(process) for process in asked]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *answers)


class DividedVectorEnv:
    """Copies of an environment in several processes, with the two methods of `AutoResetVectorEnv`."""

    def __init__(self, processes: Processes, copies: int):
        self.processes, self.number = processes, next(processes.numbers)
        self.parts = np.array_split(np.arange(copies), min(len(processes.all), copies))

    def reset(self, seed: int) -> Any:
        """Returns the first observations; leading axis `[copies]`."""
        return self._all("reset", [(seed + int(rows[0]),) for rows in self.parts])

    def step(self, last: Any, actions: Any) -> tuple[Any, Feedback]:
        """Returns the next observations and the feedback; copies at the `last` step of an episode begin the next one."""
        both = (np.asarray(last), jax.tree.map(np.asarray, actions))
        return self._all("step", [jax.tree.map(lambda leaf, rows=rows: leaf[rows], both) for rows in self.parts])

    def _all(self, method, arguments):
        each = zip(self.parts, arguments, strict=True)
        return self.processes.ask([(self.number, len(rows), method, its) for rows, its in each])


def _send(process, message):
    with contextlib.suppress(BrokenPipeError):  # `_receive` says that the process has ended
        pickle.dump(message, process.stdin)
        process.stdin.flush()


def _receive(process):
    try:
        return pickle.load(process.stdout)
    except (EOFError, pickle.UnpicklingError):
        raise InputError(
            f"Gymnasium(make, processes): a process of the environment ended with code {process.wait()}. The same command "
            f"resumes the run."
        ) from None


def _end(processes):
    for process in processes:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        process.wait()


def serve() -> None:
    """The program of a process: answers messages until there are no more. What it prints goes to standard error."""
    messages, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    made, venvs = pickle.load(messages), {}
    with contextlib.suppress(EOFError):
        while True:
            number, copies, method, arguments = pickle.load(messages)
            try:
                if number not in venvs:
                    venvs[number] = AutoResetVectorEnv(_loaded(made)(copies))
                answer = getattr(venvs[number], method)(*arguments)
            except Exception as error:
                answer = error if isinstance(error, InputError) else InputError(f"{type(error).__name__}: {error}")
            pickle.dump(answer, answers)
            answers.flush()


def _loaded(made):
    try:
        return pickle.loads(made)
    except Exception as error:
        raise InputError(f"Gymnasium(make, processes): another process cannot read make ({error}); {REMEDY}.") from None
