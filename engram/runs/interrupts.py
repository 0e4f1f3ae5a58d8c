"""Ctrl-C and SIGTERM, waited for rather than suffered."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager


class Interrupts:
    """Whether a signal has asked for an end: `signal` is its number, or None."""

    signal: int | None = None

    def note(self, number: int, frame: object) -> None:
        """Takes note of the first signal; the second one of its kind does what it always did."""
        del frame
        self.signal = number
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@contextmanager
def interrupts() -> Generator[Interrupts]:
    """Within it, Ctrl-C and SIGTERM are noted, so that what is under way can be finished and saved."""
    noted = Interrupts()
    if threading.current_thread() is not threading.main_thread():  # which alone is told of signals
        yield noted
        return
    before = {number: signal.signal(number, noted.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
