"""What a reproduction is: items, their cases, and the numbers that a paper claims."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from farback.reports.record import Record, finals
from farback.runs.listener import AbstractListener
from farback.runs.log import Row

Scale = Literal["smoke", "laptop", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)


class Place(NamedTuple):
    """The directory that keeps what is done; what makes the listener of a run from the title; the number of devices that
    the seeds, or else the batch, of a run are laid over; what is called with each warning; and what iterates over pieces
    of other work, with the title, and shows the progress.
    """

    home: Path
    listener: Callable[[str], AbstractListener]
    devices: int = 1
    warn: Callable[[str], None] = print
    track: Callable[[str, Iterable[Any]], Iterable[Any]] = lambda title, pieces: pieces
    title: str = ""


class Measured(NamedTuple):
    """The measurement of a case: rows as in a log, how the run ended if it was early, and a note for the table."""

    rows: Sequence[Row]
    ended: str = ""
    note: str = ""


Measure = Callable[[Place], Measured]


class Case(NamedTuple):
    """What is compared: its name, its measure, and the paper's number in the item's unit. It is a line of the table."""

    name: str
    measure: Measure
    claimed: float | None = None


class Metric(NamedTuple):
    """A metric of the log, the unit that a paper reports it in, and the number of these units in one of the log's."""

    name: str
    unit: str
    factor: float = 1.0


RETURN, NATS = Metric("charts/episodic_return", "return"), Metric("losses/loss", "nats a step")
ACCURACY, SQUARED_ERROR = Metric("charts/accuracy", "accuracy"), Metric("charts/squared_error", "squared error")


class Item(NamedTuple):
    """A table or figure of a paper.

    - `name`: such as `uoro/anbn`.
    - `title`, `shows`: what it is, and what the paper says that it shows.
    - `make`: makes the cases from the settings of a scale.
    - `settings`: the arguments of `make`, each with its value at every scale.
    - `minutes`: about how long the item takes on two cores, at every scale.
    - `metric`: what is compared.
    - `levels`: known values to compare with, by name and in the unit of the metric.
    - `smoke`: the indices of the cases that the scale `smoke` runs; by default all of them.
    - `final`: each seed's value of a record; by default the mean over the last tenth of its rows.
    - `along`: the column that the metric is drawn against. If it is not `step`, each of its values has a line in the table.
    - `drawn`: the metric of the figure, where it is another.
    - `draw`: draws the figure from the records, where it is no curve.
    - `across`: for cases named `column: row`, which make a table: draws the figure from columns, scores by row, and title.
    - `runs`: the item whose runs these are, if not its own: cases of the same name are the same run.
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
