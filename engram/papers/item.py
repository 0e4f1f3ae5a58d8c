"""What a reproduction is: measurements, the numbers that a paper claims for them, and ours beside them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from engram.reports.record import Record, finals
from engram.runs.checkpoint import write_atomically
from engram.runs.config import Config
from engram.runs.listener import AbstractListener
from engram.runs.log import Row, means, read_rows
from engram.runs.loop import DivergedError, train
from engram.runs.program import Program
from engram.runs.saved import Saved, opened
from engram.runs.trial import AbstractTrial

Scale = Literal["smoke", "laptop", "paper"]


class Place(NamedTuple):
    """Where a case is measured, and who hears of it.

    - `home`: its directory, in which it finds what was done before.
    - `devices`: over how many devices the seeds, or else the batch, are laid.
    - `listener`: makes one who hears of a training.
    - `warn`: who is told what a person should know.
    - `each`: goes through pieces of other work, and shows how far it is.
    """

    home: Path
    devices: int
    listener: Callable[[], AbstractListener]
    warn: Callable[[str], None]
    each: Callable[[Iterable[Any]], Iterable[Any]]


class Measured(NamedTuple):
    """What came of a case: rows as those of a log, how it ended, where that was before its time, and what else to know."""

    rows: Sequence[Row]
    ended: str = ""
    note: str = ""


class Case(NamedTuple):
    """One line of an item, or several that belong together.

    - `name`: what is compared.
    - `measure`: makes its rows, or goes on where it was broken off.
    - `claimed`: the paper's number, in the item's unit; `None` where it has none.
    """

    name: str
    measure: Callable[[Place], Measured]
    claimed: float | None = None


class Unit(NamedTuple):
    """The unit that a paper reports a metric in: so many of it are one of the log's."""

    name: str
    factor: float = 1.0


class Item(NamedTuple):
    """A table or figure of a paper.

    - `name`: such as `uoro/anbn`.
    - `title`, `shows`: what it is, and what the paper says that it shows.
    - `cases`: what is measured, at each scale.
    - `minutes`: about how long that takes on two cores, at each scale.
    - `metric`, `unit`: what is compared.
    - `levels`: what can be hoped for, or must be surpassed, by name and in the unit.
    - `final`: each seed's value of a record, in the unit of the log; by default the mean over the last tenth of the metric.
    - `along`: what the metric is drawn against. If it is not `step`, each of its values has a line in the table.
    - `drawn`: the metric of the figure, where it is another.
    - `draw`: makes the figure, where it is no curve.
    - `across`: where cases are named `column: row` and make a table of both, what draws it, from the columns, the scores of
      each row, and a title.
    - `runs`: the item whose runs these are, if not its own: cases of one name are one run, of which each item shows a part.
    """

    name: str
    title: str
    shows: str
    cases: Callable[[Scale], Sequence[Case]]
    minutes: Mapping[Scale, float]
    metric: str
    unit: Unit
    levels: Mapping[str, float]
    final: Callable[[Record, str], dict[int, float]] = finals
    along: str = "step"
    drawn: str | None = None
    draw: Callable[[Sequence[Record]], Any] | None = None
    across: Callable[[Sequence[str], Mapping[str, Sequence[float]], str], Any] | None = None
    runs: str = ""


def trained(
    name: str, program: Callable[[int], Program], updates: int, record: Mapping[str, Any], claimed: float | None = None
) -> Case:
    """A case whose rows are the log of a run.

    **Arguments:**

    - `program`: what is run, over a number of devices.
    - `updates`: how far.
    - `record`: what it is made from, as JSON.
    """

    def measure(place: Place) -> Measured:
        ended = _train(place, program(place.devices), updates, record)
        return Measured([row for row in read_rows(place.home / "metrics.jsonl") if row["update"] <= updates], ended)

    return Case(name, measure, claimed)


def timed(name: str, program: Callable[[int], Program], seconds: float, record: Mapping[str, Any]) -> Case:
    """A case whose rows are the log of the first so many seconds of a run, as far as it gets in them on this machine.

    They are those of the log: all seeds together, without compiling and saving. A run that was broken off goes on until it
    has had as many.
    """

    def measure(place: Place) -> Measured:
        running, log = program(place.devices), place.home / "metrics.jsonl"
        rows, ended = read_rows(log), ""
        while not ended and (not rows or rows[-1]["time/seconds"] < seconds):
            # A little more than there is time for at the speed so far.
            updates = int(1.05 * seconds * rows[-1]["update"] / max(rows[-1]["time/seconds"], 1e-3)) if rows else 0
            ended = _train(place, running, updates + running.log_every, record)
            rows = read_rows(log)
        return Measured([row for row in rows if row["time/seconds"] <= seconds], ended)

    return Case(name, measure)


def until(
    name: str,
    program: Callable[[int], Program],
    updates: int,
    record: Mapping[str, Any],
    there: Callable[[Sequence[Row]], set[int]],
    look: int,
) -> Case:
    """A case whose rows are the log of a run that ends, after at most so many updates, once all seeds are there, as its
    rows say, which are looked at every `look` updates. How many are is noted where it is not all of them.
    """

    def measure(place: Place) -> Measured:
        running, log = program(place.devices), place.home / "metrics.jsonl"
        rows, ended, seeds = read_rows(log), "", len(running.seeds)
        while not ended and len(there(rows)) < seeds and (done := rows[-1]["update"] if rows else 0) < updates:
            ended = _train(place, running, min(updates, done + look), record)
            rows = read_rows(log)
        found = len(there(rows))
        return Measured(rows, ended, "" if found == seeds else f"{found} of {seeds} seeds")

    return Case(name, measure)


def examined(
    name: str,
    program: Callable[[int], Program],
    updates: int,
    record: Mapping[str, Any],
    examine: Callable[[Saved], Sequence[Row]],
    times: int = 1,
    claimed: float | None = None,
) -> Case:
    """A case whose rows are what models are found to do: at a run's end, or after each of `times` equal parts of it."""

    def measure(place: Place) -> Measured:
        running = program(place.devices)
        found: list[Row] = []
        for part in range(1, times + 1):
            path = place.home / f"examined-{part}-of-{times}.json"
            if not path.exists() and (ended := _train(place, running, updates * part // times, record)):
                return Measured(found, ended)
            found += kept(path, lambda: examine(opened(place.home, running, warn=place.warn)))
        return Measured(found)

    return Case(name, measure, claimed)


RETURN = "charts/return"


def played(name: str, config: Config, episodes: int, claimed: float | None = None) -> Case:
    """A case whose rows are what agents bring at the end of a run, in the mean of episodes that they have not seen."""

    def examine(saved: Saved) -> list[Row]:
        return returned(saved, {seed: float(found.returns.mean()) for seed, found in saved.episodes(episodes).items()})

    return examined(name, config.program, config.updates, config.record, examine, claimed=claimed)


def returned(saved: Saved, found: Mapping[int, float]) -> list[Row]:
    """What each seed's model got, as rows of the log."""
    update, steps = saved.facts["update"], saved.program.trial.steps
    return [{"update": update, "step": update * steps, "seed": seed, RETURN: mean} for seed, mean in found.items()]


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What is in a file, as JSON, which is made, and the file with it, where there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, [json.dumps(make()).encode()])
    return json.loads(path.read_text())


def scores(trial: AbstractTrial, updates: int, **about: int) -> Callable[[Saved], list[Row]]:
    """An examination: what models score in a trial, `about` being what the rows say of it beside."""

    def examine(saved: Saved) -> list[Row]:
        update = saved.facts["update"]
        found = saved.evaluate(updates, trial)
        at = {"update": update, "step": update * saved.program.trial.steps}
        return [{**at, "seed": seed, **about, **means(tallied)} for seed, tallied in found.items()]

    return examine


def seeded(trial: AbstractTrial, seeds: int, log_every: int) -> Callable[[int], Program]:
    """The program of so many seeds, over as many devices as can share them."""
    return lambda devices: Program(trial, range(seeds), max(1, log_every), devices if seeds % devices == 0 else 1)


def configured(name: str, config: Config, claimed: float | None = None) -> Case:
    """A case that a configuration says all of."""
    return trained(name, config.program, config.updates, config.record, claimed)


def _train(place: Place, program: Program, updates: int, record: Mapping[str, Any]) -> str:
    """Trains, and says how that ended if it was before its time."""
    try:
        train(program, place.home, updates, record=dict(record), listeners=[place.listener()], warn=place.warn)
    except DivergedError as error:
        return f"diverged at update {error.update:,}"
    return ""


def last_steps(count: int) -> Callable[[Record, str], dict[int, float]]:
    """Each seed's mean of a metric over the last so many steps of a run."""

    def final(record: Record, metric: str) -> dict[int, float]:
        end = max((row["step"] for row in record.rows), default=0)
        rows = [row for row in record.rows if row["step"] > end - count]
        values = {seed: [row[metric] for row in rows if row["seed"] == seed] for seed in {row["seed"] for row in rows}}
        return {seed: float("nan") if None in found else sum(found) / len(found) for seed, found in values.items()}

    return final
