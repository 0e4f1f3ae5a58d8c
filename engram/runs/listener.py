"""Whoever wants to hear how a run goes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from engram.runs.log import Row
from engram.runs.program import Program


class AbstractListener(ABC):
    """Is told how a run goes, and cannot stop it: one that fails is told no more."""

    @abstractmethod
    def begin(self, program: Program, update: int, updates: int) -> None:
        """The program is to be compiled, and to go on from `update` to `updates`."""

    @abstractmethod
    def progress(self, update: int, rows: list[Row]) -> None:
        """The run has come to `update`, or back to it; `rows` are what has been logged since the last word."""

    @abstractmethod
    def end(self) -> None:
        """There will be no more."""


class Listeners:
    """Several listeners as one; `warn` is told of those that fail."""

    def __init__(self, listeners: Sequence[AbstractListener], warn: Callable[[str], None]):
        self._listeners, self._warn = list(listeners), warn

    def begin(self, program: Program, update: int, updates: int) -> None:
        self._tell(lambda listener: listener.begin(program, update, updates))

    def progress(self, update: int, rows: list[Row]) -> None:
        self._tell(lambda listener: listener.progress(update, rows))

    def end(self) -> None:
        self._tell(lambda listener: listener.end())

    def _tell(self, tell: Callable[[AbstractListener], None]) -> None:
        for listener in list(self._listeners):
            try:
                tell(listener)
            except Exception as error:
                self._listeners.remove(listener)
                self._warn(f"{type(listener).__name__} failed and is told no more: {type(error).__name__}: {error}")
