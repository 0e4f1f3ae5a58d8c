"""Progress bars."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import rich.progress
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from farback.cli.console import say
from farback.reports.numbers import number
from farback.runs.listener import AbstractListener
from farback.runs.log import Row
from farback.runs.program import Program

T = TypeVar("T")


def track(title: str, pieces: Iterable[T]) -> Iterator[T]:
    """Yields pieces of work with a progress bar. Where standard error is not a terminal, it prints the title only."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from rich.progress.track(pieces, title, console=console, transient=True)
    else:
        say(title)
        yield from pieces


class Bar(AbstractListener):
    """Shows the title of a run, and a bar with its progress, rate, criterion and remaining time.

    Where standard error is not a terminal, it prints the title only.

    **Arguments:**

    - `title`: the title.
    """

    def __init__(self, title: str):
        self._title = title
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[value]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=4,
            speed_estimate_period=10,
        )

    def begin(self, program: Program, update: int, updates: int) -> None:
        self._metric, self._steps = program.algorithm.criterion.metric, program.steps
        self._task = self._bar.add_task("compiling", total=updates, completed=update, rate="", value="")
        self._bar.console.print(self._title, highlight=False, soft_wrap=True, markup=False)
        if self._bar.console.is_terminal:
            self._bar.start()

    def progress(self, update: int, rows: list[Row]) -> None:
        self._bar.update(self._task, description="training", completed=update)
        speed = self._bar.tasks[0].speed
        if speed:
            self._bar.update(self._task, rate=f"{speed * self._steps:,.0f} steps/s")
        last = [row[self._metric] for row in rows if row["update"] == rows[-1]["update"]]
        values = [value for value in last if value is not None]
        if values:
            name = self._metric.partition("/")[2]
            self._bar.update(self._task, value=f"{name} {number(sum(values) / len(values))}")

    def end(self) -> None:
        if self._bar.live.is_started:
            self._bar.stop()
