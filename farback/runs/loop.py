"""The loop of a run: one compiled call after another, with the log, the listeners and the checkpoints in between.

An interrupted run that resumes ends with the same state, bit for bit, as one that was never interrupted. A checkpoint holds
the whole state, the unfinished row of the log, and the size of the log; rows logged later are cut off.
"""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from farback.ops.optimizers import can_be_halved
from farback.runs.interrupts import interrupts
from farback.runs.listener import AbstractListener, Listeners
from farback.runs.lock import lock
from farback.runs.options import DivergedError as DivergedError
from farback.runs.options import Options, StoppedError
from farback.runs.program import Program
from farback.runs.session import Session
from farback.types import InputError


def train(
    program: Program,
    directory: Path,
    updates: int,
    *,
    record: dict[str, Any] | None = None,
    options: Options = Options(),
    listeners: Sequence[AbstractListener] = (),
    warn: Callable[[str], None] = print,
) -> int:
    """Trains until `updates` updates are done, resuming from the directory's newest checkpoint. Returns the updates done.

    **Arguments:**

    - `program`: the program.
    - `directory`: the directory of the log and the checkpoints; it is created if it does not exist.
    - `updates`: the total number of updates, including earlier ones.
    - `record`: the values that the program was made from, as JSON. A checkpoint with another record is refused.
    - `options`: how often to save, and what to do about NaN.
    - `listeners`: receive the events of the run.
    - `warn`: called with each message for the user.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with lock(directory):
        return train_locked(program, directory, updates, record or {}, options, listeners, warn)


def train_locked(
    program: Program,
    directory: Path,
    updates: int,
    record: dict[str, Any],
    options: Options,
    listeners: Sequence[AbstractListener],
    warn: Callable[[str], None],
) -> int:
    """`train` in a directory that exists and whose lock this process holds."""
    if options.on_nan == "restore" and not can_be_halved(program.like.state):
        raise InputError(
            "on_nan = 'restore' halves the step, which this optimizer prevents: end its chain with halvable()."
        )
    events = Listeners(listeners, warn)
    with interrupts(warn) as noted:
        session = Session(program, directory, record, options, events, warn)
        try:
            session.open()
            events.begin(program, session.update, updates)
            if session.update < updates:
                program.compile()
            while session.update < updates and noted.signal is None:
                session.advance(updates)
            session.save()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise _disk_full(session, directory, error) from None
        finally:
            events.end()
            session.log.close()
    if session.update < updates:
        code = 128 + int(noted.signal or 0)
        raise StoppedError(code, f"Interrupted, and saved at update {session.update:,} of {updates:,}.")
    return session.update


def _disk_full(session: Session, directory: Path, error: OSError) -> StoppedError:
    kept = session.checkpoints.path(session.saved).exists()
    whole = f"The checkpoint of update {session.saved:,} is whole" if kept else "There is no checkpoint yet"
    return StoppedError(
        1,
        f"The run stopped at update {session.update:,}, because '{directory}' cannot be written: {error.strerror}. "
        f"{whole}: free some space, and run the command again.",
    )
