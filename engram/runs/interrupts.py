"""Ctrl-C, SIGTERM and a terminal that is closed, waited for rather than suffered."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Interrupts:
    """Whether a signal has asked for an end: `signal` is its number, or None."""

    signal: int | None = None

    def __init__(self, warn: Callable[[str], None]):
        self._warn = warn

    def note(self, number: int, frame: object) -> None:
        """Takes note of the first signal; the second one of its kind does what it always did."""
        del frame
        self.signal = number
        self._warn("Finishing the updates under way, and saving; the same signal again ends it at once.")
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@contextmanager
def interrupts(warn: Callable[[str], None]) -> Generator[Interrupts]:
    """Within it, Ctrl-C, SIGTERM and SIGHUP are noted, so that what is under way can be finished and saved.

    `warn` is told when one arrives.
    """
    noted = Interrupts(warn)
    if threading.current_thread() is not threading.main_thread():  # which alone is told of signals
        yield noted
        return
    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heeded = [number for number in asked if signal.getsignal(number) != signal.SIG_IGN]  # nohup has SIGHUP ignored
    before = {number: signal.signal(number, noted.note) for number in heeded}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
