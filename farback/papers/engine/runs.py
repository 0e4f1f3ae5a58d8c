"""The training of a case, and the measures of it."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from farback.algorithm import AbstractAlgorithm
from farback.papers.engine.item import Measure, Measured, Place
from farback.runs.checkpoint import Checkpoints, check_record, write_atomically
from farback.runs.config import configure
from farback.runs.log import Row, means, read_rows
from farback.runs.loop import DivergedError, train
from farback.runs.program import Program
from farback.runs.saved import LoadedRun, open_run

Words = dict[str, Any]


class Training(NamedTuple):
    """A training: its program for a number of devices, its updates, and the JSON that defines the program."""

    program: Callable[[int], Program]
    updates: int
    record: Mapping[str, Any]

    def advance(self, place: Place, updates: int) -> tuple[list[Row], str]:
        """Trains, or resumes, up to a number of updates. Returns (log, why the run ended early or "")."""
        program, listeners, ended = self.program(place.devices), [place.listener(place.title)], ""
        try:
            train(program, place.home, updates, record=dict(self.record), listeners=listeners, warn=place.warn)
        except DivergedError as error:
            ended = f"diverged at update {error.update:,}"
        return read_rows(place.home / "metrics.jsonl"), ended

    def check(self, place: Place) -> None:
        """Refuses a directory that holds another training."""
        record = json.loads(json.dumps({**self.record, **self.program(place.devices).record}))
        for path, facts in Checkpoints(place.home / "checkpoints").whole(lambda path, error: None).items():
            check_record(path, facts, record)


def configured(algorithm: str, updates: int, rows: int = 200, **words: Any) -> Training:
    """A training from the arguments of `configure`, with a log of about `rows` rows."""
    config = configure(algorithm, **{"log_every": max(1, updates // rows)} | words)
    return Training(functools.partial(_kept_program, lambda devices: config.program(devices)), updates, config.record)


def constructed(algorithm: AbstractAlgorithm, updates: int, seeds: int, rows: int, record: Mapping[str, Any]) -> Training:
    """A training of an algorithm that `configure` cannot make."""

    def program(devices: int) -> Program:
        return Program(algorithm, range(seeds), max(1, updates // rows), devices if seeds % devices == 0 else 1)

    return Training(functools.partial(_kept_program, program), updates, record)


@functools.lru_cache(maxsize=1)
def _kept_program(make: Callable[[int], Program], devices: int) -> Program:
    """The program of the training in progress, compiled once for all its stages."""
    return make(devices)


def clipped_adam(rate: float, norm: float = 1.0, falls: int = 0) -> str:
    """Adam with gradients clipped to `norm`. With `falls`, the learning rate falls linearly to 0 in `falls` updates."""
    schedule = f"linear_schedule({rate}, 0.0, {falls})" if falls else rate
    return f"chain(clip_by_global_norm({norm}), adam({schedule}))"


def log(training: Training) -> Measure:
    """The log of a run."""

    def measure(place: Place) -> Measured:
        rows, ended = training.advance(place, training.updates)
        return Measured([row for row in rows if row["update"] <= training.updates], ended)

    return measure


def log_of_seconds(training: Training, seconds: float) -> Measure:
    """The log of a run of `seconds` on this machine, for all seeds together, without compiling and saving."""

    def measure(place: Place) -> Measured:
        every, rows, ended = training.program(place.devices).log_every, read_rows(place.home / "metrics.jsonl"), ""
        while not ended and (not rows or rows[-1]["time/seconds"] < seconds):
            # Slightly more than the time allows at the speed so far.
            updates = int(1.05 * seconds * rows[-1]["update"] / max(rows[-1]["time/seconds"], 1e-3)) if rows else 0
            rows, ended = training.advance(place, updates + every)
        return Measured([row for row in rows if row["time/seconds"] <= seconds], ended)

    return measure


def log_until(training: Training, reached: Callable[[Sequence[Row]], set[int]], every: int) -> Measure:
    """The log of a run that ends once all seeds have reached a goal, or after the updates of the training. `reached`
    returns the seeds that have reached it from the rows, and is called every `every` updates.
    """

    def measure(place: Place) -> Measured:
        seeds, rows, ended = len(training.program(place.devices).seeds), read_rows(place.home / "metrics.jsonl"), ""
        while not ended and len(reached(rows)) < seeds and (done := rows[-1]["update"] if rows else 0) < training.updates:
            rows, ended = training.advance(place, min(training.updates, done + every))
        found = len(reached(rows))
        return Measured(rows, ended, "" if found == seeds else f"{found} of {seeds} seeds")

    return measure


Evaluate = Callable[[LoadedRun], Sequence[Row]]


def evaluation(training: Training, evaluate: Evaluate, times: int = 1, name: str = "evaluation") -> Measure:
    """An evaluation of the networks at the end of a run, or after each of `times` equal parts of it, stored by name and
    update.
    """

    def measure(place: Place) -> Measured:
        training.check(place)
        rows: list[Row] = []
        for part in range(1, times + 1):
            update = training.updates * part // times
            path = place.home / f"{name}-{update}.json"
            if not path.exists() and (ended := training.advance(place, update)[1]):
                return Measured(rows, ended)
            rows += kept(path, lambda: evaluate(open_run(place.home, training.program(place.devices), warn=place.warn)))
        return Measured(rows)

    return measure


def evaluation_after(training: Training, seconds: float, evaluate: Evaluate) -> Measure:
    """An evaluation of the networks after `seconds` of training on this machine, as in `log_of_seconds`."""
    logged = log_of_seconds(training, seconds)

    def measure(place: Place) -> Measured:
        if ended := logged(place).ended:
            return Measured([], ended)
        path, program = place.home / "evaluation.json", training.program(place.devices)
        return Measured(kept(path, lambda: evaluate(open_run(place.home, program, warn=place.warn))))

    return measure


def metrics(amount: int, algorithm: AbstractAlgorithm | None = None, **columns: int) -> Evaluate:
    """Evaluates networks on `amount` of fresh data, in the evaluation unit of `algorithm`, by default the one that was
    trained. `columns` are added to the rows.
    """

    def evaluate(run: LoadedRun) -> list[Row]:
        unit = (algorithm or run.algorithm).evaluation_unit
        scored = run.evaluate(**{unit: amount}, algorithm=algorithm)
        return rows_of(run, {seed: {**columns, **means(found)} for seed, found in scored.items()})

    return evaluate


def rows_of(run: LoadedRun, found: Mapping[int, Mapping[str, Any]]) -> list[Row]:
    """The results of each seed as rows of a log."""
    at = {"update": run.facts["update"], "step": run.facts["update"] * run.algorithm.steps_per_update}
    return [{**at, "seed": seed, **columns} for seed, columns in found.items()]


def computed(make: Callable[[Place], tuple[Sequence[Row], str]]) -> Measure:
    """A measure without a run: rows and a note, computed once and stored."""

    def measure(place: Place) -> Measured:
        rows, note = kept(place.home / "computed.json", lambda: make(place))
        return Measured(rows, note=note)

    return measure


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """The JSON in a file. If there is no file, it is made first."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, [json.dumps(make()).encode()])
    return json.loads(path.read_text())
