"""What a reproduction is: runs, the numbers that a paper claims for them, and ours beside them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from engram.reports.record import Record, finals
from engram.runs.config import Config
from engram.runs.program import Program

Scale = Literal["smoke", "laptop", "paper"]


class Case(NamedTuple):
    """One line of an item: a run of several seeds.

    - `name`: what is compared.
    - `program`: what is run, over a number of devices.
    - `updates`: how far.
    - `record`: what it is made from, as JSON.
    - `claimed`: the paper's number, in the item's unit; `None` where it has none.
    """

    name: str
    program: Callable[[int], Program]
    updates: int
    record: Mapping[str, Any]
    claimed: float | None = None


class Unit(NamedTuple):
    """The unit that a paper reports a metric in: so many of it are one of the log's."""

    name: str
    factor: float = 1.0


class Item(NamedTuple):
    """A table or figure of a paper.

    - `name`: such as `uoro/anbn`.
    - `title`, `shows`: what it is, and what the paper says that it shows.
    - `cases`: its runs, at each scale.
    - `minutes`: about how long they take on two cores, at each scale.
    - `metric`, `unit`: what is compared.
    - `levels`: what can be hoped for, or must be surpassed, by name and in the unit.
    - `final`: each seed's value of a record, in the unit of the log; by default the mean over the last tenth of the metric.
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


def configured(name: str, config: Config, claimed: float | None = None) -> Case:
    """A case that a configuration says all of."""
    return Case(name, config.program, config.updates, config.record, claimed)


def last_steps(count: int) -> Callable[[Record, str], dict[int, float]]:
    """Each seed's mean of a metric over the last so many steps of a run."""

    def final(record: Record, metric: str) -> dict[int, float]:
        end = max((row["step"] for row in record.rows), default=0)
        rows = [row for row in record.rows if row["step"] > end - count]
        values = {seed: [row[metric] for row in rows if row["seed"] == seed] for seed in {row["seed"] for row in rows}}
        return {seed: float("nan") if None in found else sum(found) / len(found) for seed, found in values.items()}

    return final
