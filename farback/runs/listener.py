"""Listeners: objects that receive the events of a run."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from farback.runs.log import Row
from farback.runs.program import Program


class AbstractListener(ABC):
    """Receives the events of a run. A listener that raises is dropped; the run continues."""

    @abstractmethod
    def begin(self, program: Program, update: int, updates: int) -> None:
        """The program compiles next, and then trains from `update` to `updates`."""

    @abstractmethod
    def progress(self, update: int, rows: list[Row]) -> None:
        """The run has reached `update`, or returned to it; `rows` are the rows logged since the last event."""

    @abstractmethod
    def end(self) -> None:
        """The run has stopped; no event follows."""


class Listeners:
    """Several listeners as one.

    **Arguments:**

    - `listeners`: the listeners.
    - `warn`: called with a message for each listener that raises.
    """

    def __init__(self, listeners: Sequence[AbstractListener], warn: Callable[[str], None]):
        self._listeners, self._warn = list(listeners), warn

    def begin(self, program: Program, update: int, updates: int) -> None:
        self._send(lambda listener: listener.begin(program, update, updates))

    def progress(self, update: int, rows: list[Row]) -> None:
        self._send(lambda listener: listener.progress(update, rows))

    def end(self) -> None:
        self._send(lambda listener: listener.end())

    def _send(self, event: Callable[[AbstractListener], None]) -> None:
        for listener in list(self._listeners):
            try:
                event(listener)
            except Exception as error:
                self._listeners.remove(listener)
                self._warn(f"{type(listener).__name__} failed and gets no more events: {type(error).__name__}: {error}")
