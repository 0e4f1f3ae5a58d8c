"""The loop of a run: updates in a compiled program, and between them a look: log, progress, checkpoint.

A run ends as it would have ended without a break, bit for bit, wherever it was broken off: a checkpoint holds the whole
learning state, the row of the log that is in the making, and where the log ended; what was logged later is cut off.
"""

import dataclasses
import errno
import json
import operator
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from engram.runs.checkpoint import Checkpoints, DamagedError, check_record, named_leaves, read, sync_directory, write
from engram.runs.interrupts import interrupts
from engram.runs.listener import AbstractListener, Listeners
from engram.runs.lock import lock
from engram.runs.log import Log, Row, Tallies, means
from engram.runs.optimiser import can_be_halved, halve
from engram.runs.program import Program, Running
from engram.types import InputError

LOOK = 1.0
"""Seconds between two looks of the host."""
SHARE = 100
"""Saving takes at most one part in so many of the time."""
JUDGED = 10
"""A checkpoint is as good as the last so many rows of the log before it."""
HALVINGS = 20
"""How often a step is halved on the way from one checkpoint before the run gives up."""


class StoppedError(Exception):
    """A run that ended before its time, with the exit code for it; what it had learnt is saved."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class DivergedError(StoppedError):
    """A run in which something became NaN or infinite, in its update number `update`."""

    def __init__(self, message: str, update: int):
        super().__init__(1, message)
        self.update = update


@dataclasses.dataclass(frozen=True)
class Options:
    """How a run is run; what it learns does not depend on it, unless a NaN occurs.

    - `save_every`: the seconds between checkpoints; more where saving is slow, so that it takes 1 % of the time at most.
    - `keep`: how many of the newest checkpoints are kept; the best is kept besides.
    - `on_nan`: when a loss or a parameter is NaN or infinite, "stop", or "restore": go back to the last checkpoint, and
      halve the step of the seeds that failed.
    """

    save_every: float = 60.0
    keep: int = 3
    on_nan: Literal["stop", "restore"] = "stop"

    def __post_init__(self):
        if self.keep < 1:
            raise InputError(f"keep = {self.keep}: a run needs a checkpoint to go on from; give keep >= 1.")
        if not self.save_every >= 0:
            raise InputError(f"save_every = {self.save_every}: give 0 seconds at least.")


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
    """Trains until `updates` are done, from where the directory left off, and gives how many are.

    **Arguments:**

    - `program`: what is run.
    - `directory`: where the log and the checkpoints lie; it is made if need be.
    - `updates`: the number of all updates, with those done before.
    - `record`: what the program is made from, as JSON; a checkpoint of another record is refused.
    - `listeners`: who is told how it goes.
    - `warn`: who is told what a person should know.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with lock(directory):
        return go_on(program, directory, updates, record or {}, options, listeners, warn)


def go_on(
    program: Program,
    directory: Path,
    updates: int,
    record: dict[str, Any],
    options: Options,
    listeners: Sequence[AbstractListener],
    warn: Callable[[str], None],
) -> int:
    """`train`, in a directory that is there and locked."""
    if options.on_nan == "restore" and not can_be_halved(program.like.state):
        raise InputError("on_nan = 'restore' halves the step, and this optimiser cannot: end it with halvable().")
    heard = Listeners(listeners, warn)
    with interrupts(warn) as noted:
        session = Session(program, directory, record, options, heard, warn)
        try:
            session.open()
            heard.begin(program, session.update, updates)
            if session.update < updates:
                program.compile()
            while session.update < updates and noted.signal is None:
                session.advance(updates)
            session.save()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            kept = session.checkpoints.path(session.saved).exists()
            whole = f"The checkpoint of update {session.saved:,} is whole" if kept else "There is no checkpoint yet"
            raise StoppedError(
                1,
                f"The run stopped at update {session.update:,}, for '{directory}' cannot be written: {error.strerror}. "
                f"{whole}: make room, and go on from there.",
            ) from None
        finally:
            heard.end()
            session.log.close()
    if session.update < updates:
        raise StoppedError(
            128 + int(noted.signal or 0), f"Interrupted, and saved at update {session.update:,} of {updates:,}."
        )
    return session.update


class Session:
    """What one process does of a run."""

    def __init__(
        self,
        program: Program,
        directory: Path,
        record: dict[str, Any],
        options: Options,
        listeners: Listeners,
        warn: Callable[[str], None],
    ):
        self.program, self.options, self.listeners, self.warn = program, options, listeners, warn
        self.record = json.loads(json.dumps(record | program.record))
        self.log = Log(directory / "metrics.jsonl")
        self.checkpoints = Checkpoints(directory / "checkpoints", options.keep)
        self.scores: dict[Path, float] = {}
        self.update = self.saved = 0
        self.seconds = 0.0
        self.recent: list[float] = []
        self.chunk = 1
        self.saved_at = self.save_took = 0.0
        self.halved = np.zeros(len(program.seeds), int)

    def open(self) -> None:
        """Goes on from the newest checkpoint that is whole, or begins."""
        self.checkpoints.directory.mkdir(exist_ok=True)
        for part in self.checkpoints.directory.glob(".*.part"):
            part.unlink(missing_ok=True)
        sync_directory(self.checkpoints.directory.parent)
        if self.checkpoints.paths():
            self._restore()
        else:
            if self.log.size:
                raise InputError(
                    f"'{self.log.path}' has rows, but there is no checkpoint: put one back, or give another --dir."
                )
            self.running = self.program.init()
            self._write()
        self.saved_at = time.perf_counter()

    def advance(self, updates: int) -> None:
        """Takes as many updates as fit in between two looks."""
        count = min(self.chunk, updates - self.update, self.program.room(self.update))
        start = time.perf_counter()
        running, rows, sound = self.program.advance(self.running, count, self.update)
        if not sound.all():
            self._fail(count)
            return
        elapsed = time.perf_counter() - start
        self.seconds += elapsed
        logged = self._rows(rows, count, count * self.program.steps / elapsed)
        self.log.append(logged)
        self.running, self.update = running, self.update + count
        self.listeners.progress(self.update, logged)
        look = min(LOOK, max(self.options.save_every, LOOK / 20))
        self.chunk = max(1, int(count * min(4.0, look / elapsed)))
        if time.perf_counter() - self.saved_at > max(self.options.save_every, SHARE * self.save_took):
            self.save()

    def save(self) -> None:
        """Writes a checkpoint, unless there is nothing new."""
        if self.update > self.saved:
            self._write()

    def _write(self) -> None:
        start = time.perf_counter()
        self.log.sync()
        score = float(np.mean(self.recent)) if self.recent else None
        about = {"record": self.record, "update": self.update, "log": self.log.size, "seconds": self.seconds}
        path = self.checkpoints.path(self.update)
        write(path, self.running, about | {"score": score, "recent": self.recent})
        self._remember(path, score)
        self.checkpoints.prune(self.scores)
        self.saved, self.saved_at = self.update, time.perf_counter()
        self.save_took = self.saved_at - start
        self.halved[:] = 0

    def _restore(self) -> None:
        """Goes back to the newest checkpoint that is whole."""
        whole = self.checkpoints.whole(self._set_aside)
        for path, facts in whole.items():
            check_record(path, facts, self.record)
            self._remember(path, facts["score"])
        if not whole:
            raise InputError(f"No checkpoint in '{self.checkpoints.directory}' is whole: begin anew, in another --dir.")
        path, facts = next(iter(whole.items()))
        self.running = read(path, self.program.like)
        self.log.cut(facts["log"])
        self.update = self.saved = facts["update"]
        self.seconds, self.recent = facts["seconds"], facts.get("recent", [])

    def _set_aside(self, path: Path, error: DamagedError) -> None:
        aside = path.rename(path.with_suffix(".damaged"))
        self.warn(f"{error} It is now '{aside.name}', and is not used.")

    def _remember(self, path: Path, score: float | None) -> None:
        if score is not None:
            self.scores[path] = score

    def _rows(self, tallied: Tallies, count: int, rate: float) -> list[Row]:
        """The rows that `count` updates have completed; the aim of the latest is what a checkpoint is judged by."""
        every, seeds = self.program.log_every, self.program.seeds
        aim = self.program.trial.aim
        rows = []
        for row in range((self.update % every + count) // every):
            update = (self.update // every + row + 1) * every
            at = {"update": update, "step": update * self.program.trial.steps}
            times = {"charts/SPS": round(rate, 1), "time/seconds": round(self.seconds, 3)}
            each = [means(tallied, (index, row)) for index in range(len(seeds))]
            rows += [at | {"seed": seed} | values | times for seed, values in zip(seeds, each, strict=True)]
            judged = [value for values in each if (value := values[aim.metric]) is not None]
            if len(judged) == len(seeds):
                self.recent = [*self.recent[1 - JUDGED :], float(np.mean(judged)) * (1 if aim.minimise else -1)]
        return rows

    def _fail(self, count: int) -> None:
        """Finds the update after which something is no longer finite; stops there, or goes back."""
        good, done = self.running, 0
        while count > 1:
            half = count // 2
            after, _, sound = self.program.advance(good, half, self.update + done)
            good, done, count = (after, done + half, count - half) if sound.all() else (good, done, half)
        bad, rows, sound = self.program.advance(good, 1, self.update + done)
        what = self._unsound(bad, rows, sound) + f" at update {self.update + done + 1:,}"
        if self.options.on_nan == "stop" or self.halved.max() >= HALVINGS:
            remedy = "" if self.options.on_nan == "restore" else "go on from there with --on-nan restore, or "
            raise DivergedError(
                f"{what}. The checkpoint of update {self.saved:,} is good: {remedy}begin in another --dir with smaller "
                f"steps, or a clipped gradient, or with data in which nothing is NaN.",
                self.update + done + 1,
            )
        self.halved += ~sound
        self._restore()
        self.running = eqx.tree_at(lambda running: running.state, self.running, halve(self.running.state, self.halved))
        self.warn(f"{what}; back to update {self.update:,}, with {0.5 ** self.halved.max():g} of its step.")
        self.listeners.progress(self.update, [])

    def _unsound(self, running: Running, rows: Tallies, sound: np.ndarray) -> str:
        """Names what is NaN or infinite."""
        found = []
        for index in map(int, np.flatnonzero(~sound)):
            parameters = named_leaves(eqx.filter(self.program.model(running, index), eqx.is_inexact_array))
            one = jax.tree.map(operator.itemgetter(index), running.state)
            state = named_leaves(eqx.filter(one, eqx.is_inexact_array))
            values = {f"parameter {name}": leaf for name, leaf in parameters}
            values |= {"the loss": rows["losses/loss"].total[index]}
            names = [name for name, value in values.items() if not jnp.isfinite(value).all()]
            names = names or [f"{name} of the state" for name, value in state if not jnp.isfinite(value).all()]
            found.append(f"{', '.join(names)} of seed {self.program.seeds[index]}")
        return f"NaN or infinite: {'; '.join(found)}"
