"""Ctrl-C, SIGTERM and SIGHUP: the updates in progress are finished and saved first."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Interrupts:
    """The signal that asked a run to stop: `signal` is its number, or `None`."""

    signal: int | None = None

    def __init__(self, warn: Callable[[str], None]):
        self._warn = warn

    def note(self, number: int, frame: object) -> None:
        """Records the first signal. A second one of the same kind has its default effect."""
        del frame
        self.signal = number
        self._warn("Finishing the current updates and saving; send the signal again to stop at once.")
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@contextmanager
def interrupts(warn: Callable[[str], None]) -> Generator[Interrupts]:
    """Records Ctrl-C, SIGTERM and SIGHUP inside the context, so that a run can finish and save.

    **Arguments:**

    - `warn`: called with a message when a signal arrives.
    """
    noted = Interrupts(warn)
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread only
        yield noted
        return
    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heeded = [number for number in asked if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores SIGHUP
    before = {number: signal.signal(number, noted.note) for number in heeded}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
