"""One process's part of a run: calls of the program, rows of the log, checkpoints."""

import json
import operator
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from farback.ops.optimizers import halve
from farback.runs.checkpoint import Checkpoints, DamagedError, Facts, check_record, named_leaves, read
from farback.runs.files import sync_directory
from farback.runs.listener import Listeners
from farback.runs.log import Log, Row, means
from farback.runs.options import DivergedError, Options
from farback.runs.program import Program, ProgramState
from farback.step import Metrics
from farback.types import InputError

CALL_SECONDS = 1.0
"""The target duration of one call of the program, in seconds."""
SAVE_RATIO = 100
"""The least ratio of the time between checkpoints to the time that one takes."""
SCORED_ROWS = 10
"""The score of a checkpoint is the mean criterion of this many rows before it."""
HALVINGS = 20
"""The most halvings of the step after one checkpoint; the run then stops."""


class Session:
    """One process's part of a run.

    **Arguments:**

    - `program`, `record`, `options`, `warn`: as in `farback.runs.loop.train`.
    - `directory`: the directory of the log and the checkpoints, which exists.
    - `listeners`: receive the events of the run.
    """

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
        self.count = 1
        self.saved_at = self.save_took = 0.0
        self.halved = np.zeros(len(program.seeds), int)

    def open(self) -> None:
        """Restores the newest whole checkpoint, or initialises the state and saves it."""
        self.checkpoints.directory.mkdir(exist_ok=True)
        for part in self.checkpoints.directory.glob(".*.part"):
            part.unlink(missing_ok=True)
        sync_directory(self.checkpoints.directory.parent)
        if self.checkpoints.paths():
            self._restore()
            self.checkpoints.sweep()
        else:
            if self.log.size:
                raise InputError(
                    f"'{self.log.path}' has rows, but there is no checkpoint: restore one, or give another directory."
                )
            self.state = self.program.init()
            self._write()
        self.saved_at = time.perf_counter()

    def advance(self, updates: int) -> None:
        """Calls the program once, for about `CALL_SECONDS`."""
        count = min(self.count, updates - self.update, self.program.room(self.update))
        start = time.perf_counter()
        state, rows, finite = self.program.advance(self.state, count, self.update)
        if not finite.all():
            self._fail(count, finite)
            return
        elapsed = time.perf_counter() - start
        self.seconds += elapsed
        logged = self._rows(rows, count, count * self.program.steps / elapsed)
        self.log.append(logged)
        self.state, self.update = state, self.update + count
        self.listeners.progress(self.update, logged)
        target = min(CALL_SECONDS, max(self.options.save_every, CALL_SECONDS / 20))
        self.count = max(1, int(count * min(4.0, target / elapsed)))
        if time.perf_counter() - self.saved_at > max(self.options.save_every, SAVE_RATIO * self.save_took):
            self.save()

    def save(self) -> None:
        """Writes a checkpoint, unless the newest one is of this update."""
        if self.update > self.saved:
            self._write()

    def _write(self) -> None:
        start = time.perf_counter()
        self.log.sync()
        score = float(np.mean(self.recent)) if self.recent else None
        facts = {"record": self.record, "update": self.update, "log": self.log.size, "seconds": self.seconds}
        path = self.checkpoints.path(self.update)
        self.checkpoints.write(path, self.state, facts | {"score": score, "recent": self.recent})
        self._remember(path, score)
        self.checkpoints.prune(self.scores)
        self.saved, self.saved_at = self.update, time.perf_counter()
        self.save_took = self.saved_at - start
        self.halved[:] = 0

    def _restore(self) -> None:
        """Restores the newest whole checkpoint."""
        self.state, facts = self._checkpoint()
        self.log.cut(facts["log"])
        self.update = self.saved = facts["update"]
        self.seconds, self.recent = facts["seconds"], facts.get("recent", [])

    def _checkpoint(self) -> tuple[ProgramState, Facts]:
        """Reads the newest whole checkpoint, with the step halved as often as since it was written."""
        whole = self.checkpoints.whole(self._set_aside)
        for path, facts in whole.items():
            check_record(path, facts, self.record)
            self._remember(path, facts["score"])
        if not whole:
            raise InputError(f"'{self.checkpoints.directory}' has no whole checkpoint: train in another directory.")
        path, facts = next(iter(whole.items()))
        state = read(path, self.program.like, self.checkpoints.blocks)
        return eqx.tree_at(lambda state: state.state, state, halve(state.state, self.halved)), facts

    def _set_aside(self, path: Path, error: DamagedError) -> None:
        aside = path.rename(path.with_suffix(".damaged"))
        self.warn(f"{error} It was renamed to '{aside.name}' and is not used.")

    def _remember(self, path: Path, score: float | None) -> None:
        if score is not None:
            self.scores[path] = score

    def _rows(self, tallied: Metrics, count: int, rate: float) -> list[Row]:
        """Returns the rows that `count` updates have completed, and records their criterion for the checkpoint's score."""
        every, seeds = self.program.log_every, self.program.seeds
        criterion = self.program.algorithm.criterion
        rows = []
        for row in range((self.update % every + count) // every):
            update = (self.update // every + row + 1) * every
            at = {"update": update, "step": update * self.program.algorithm.steps_per_update}
            times = {"charts/SPS": round(rate, 1), "time/seconds": round(self.seconds, 3)}
            each = [means(tallied, (index, row)) for index in range(len(seeds))]
            rows += [at | {"seed": seed} | values | times for seed, values in zip(seeds, each, strict=True)]
            scored = [value for values in each if (value := values[criterion.metric]) is not None]
            if len(scored) == len(seeds):
                score = float(np.mean(scored)) * (1 if criterion.minimise else -1)
                self.recent = [*self.recent[1 - SCORED_ROWS :], score]
        return rows

    def _fail(self, count: int, finite: Bool[np.ndarray, " seeds"]) -> None:
        """Repeats the updates since the checkpoint, the last `count` of them singly, to find the first after which a value
        is not finite; stops, or restores the checkpoint. `finite` tells for each seed whether all its values were finite.
        """
        state, facts = self._checkpoint()
        done, end = facts["update"], self.update + count
        while done < self.update:
            step = min(self.update - done, self.program.room(done))
            state, done = self.program.advance(state, step, done)[0], done + step
        while True:
            state, rows, repeated = self.program.advance(state, 1, done)
            done += 1
            if not repeated.all():
                finite = repeated
                break
            if done == end:  # a hosted environment may not repeat itself
                break
        what = self._not_finite(state, rows, finite) + f" at update {done:,}"
        if self.options.on_nan == "stop" or self.halved.max() >= HALVINGS:
            remedy = "" if self.options.on_nan == "restore" else "resume from it with --on-nan restore, or "
            raise DivergedError(
                f"{what}. The checkpoint of update {self.saved:,} is good: {remedy}train in another directory with a "
                f"smaller learning rate, a clipped gradient, or data without NaN.",
                done,
            )
        self.halved += ~finite
        self._restore()
        self.warn(f"{what}; back to update {self.update:,}, with the step scaled by {0.5 ** self.halved.max():g}.")
        self.listeners.progress(self.update, [])

    def _not_finite(self, state: ProgramState, rows: Metrics, finite: np.ndarray) -> str:
        """Names the values that are NaN or infinite."""
        found = []
        for index in map(int, np.flatnonzero(~finite)):
            parameters = named_leaves(eqx.filter(self.program.network(state, index), eqx.is_inexact_array))
            one = jax.tree.map(operator.itemgetter(index), state.state)
            values = {f"parameter {name}": leaf for name, leaf in parameters}
            values |= {"the loss": rows["losses/loss"].total[index]}
            names = [name for name, value in values.items() if not jnp.isfinite(value).all()]
            others = named_leaves(eqx.filter(one, eqx.is_inexact_array))
            names = names or [f"{name} of the state" for name, value in others if not jnp.isfinite(value).all()]
            found.append(f"{', '.join(names) or 'a value'} of seed {self.program.seeds[index]}")
        return f"NaN or infinite: {'; '.join(found)}"
