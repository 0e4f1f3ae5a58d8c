"""Reproductions: items, their cases, and the paper's numbers."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from farback.reports.record import Record, finals
from farback.runs.listener import AbstractListener
from farback.runs.log import Row

Scale = Literal["smoke", "laptop", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)


class Place(NamedTuple):
    """Where and how cases are run.

    - `home`: the directory of the runs.
    - `listener`: makes the listener of a run from its title.
    - `devices`: the number of devices that the seeds of a run, or else its batch, are laid over.
    - `warn`: called with each warning.
    - `track`: iterates over pieces of other work under a title, and shows the progress.
    - `title`: the title of the case.
    """

    home: Path
    listener: Callable[[str], AbstractListener]
    devices: int = 1
    warn: Callable[[str], None] = print
    track: Callable[[str, Iterable[Any]], Iterable[Any]] = lambda title, pieces: pieces
    title: str = ""

    def of(self, name: str) -> "Place":
        """The place of another case of the same item."""
        return self._replace(home=self.home.with_name(directory_name(name)))


def directory_name(name: str) -> str:
    """The name of a case's directory."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


class Measured(NamedTuple):
    """The measurement of a case: rows as in a log, why the run ended early (or ""), and a note for the table."""

    rows: Sequence[Row]
    ended: str = ""
    note: str = ""


Measure = Callable[[Place], Measured]


class Case(NamedTuple):
    """A row of the table: its name, its measure, and the paper's number in the item's unit."""

    name: str
    measure: Measure
    claimed: float | None = None


class Metric(NamedTuple):
    """A metric of the log, the paper's unit for it, and the factor from the log's unit to the paper's."""

    name: str
    unit: str
    factor: float = 1.0


RETURN, NATS = Metric("charts/episodic_return", "return"), Metric("losses/loss", "nats a step")
ACCURACY, SQUARED_ERROR = Metric("charts/accuracy", "accuracy"), Metric("charts/squared_error", "squared error")
LENGTH = Metric("charts/episodic_length", "steps of an episode")


class Item(NamedTuple):
    """A table or figure of a paper.

    - `name`: such as `uoro/anbn`.
    - `title`, `shows`: the heading, and the paragraph below it.
    - `make`: makes the cases from the settings of a scale.
    - `settings`: the arguments of `make`, each with its value at every scale.
    - `minutes`: about how long the item takes on two cores, at every scale.
    - `metric`: the metric that is compared.
    - `levels`: known values to compare with, by name and in the unit of the metric.
    - `smoke`: the indices of the cases that the scale `smoke` runs; by default all of them.
    - `final`: each seed's value of a record; by default the mean over the last tenth of its rows.
    - `along`: the column that the metric is drawn against. If it is not `step`, each of its values has a row in the table.
    - `drawn`: the metric of the figure, if it differs from `metric`.
    - `draw`: draws the figure from the records, if it is not a curve.
    - `across`: for cases named `column: row`, which make a table: draws the figure from columns, scores by row, and title.
    - `runs`: the item whose runs are shown, if not its own: cases of the same name are the same run.
    """

    name: str
    title: str
    shows: str
    make: Callable[..., Sequence[Case]]
    settings: Mapping[str, Sequence[Any]]
    minutes: tuple[float, float, float]
    metric: Metric
    levels: Mapping[str, float] = {}
    smoke: Sequence[int] | None = None
    final: Callable[[Record, str], dict[int, float]] = finals
    along: str = "step"
    drawn: str | None = None
    draw: Callable[[Sequence[Record]], Any] | None = None
    across: Callable[[Sequence[str], Mapping[str, Sequence[float]], str], Any] | None = None
    runs: str = ""

    def cases(self, scale: Scale) -> Sequence[Case]:
        """The cases at a scale."""
        at = SCALES.index(scale)
        cases = self.make(**{name: values[at] for name, values in self.settings.items()})
        return cases if scale != "smoke" or self.smoke is None else [cases[index] for index in self.smoke]
