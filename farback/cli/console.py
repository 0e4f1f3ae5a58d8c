"""Messages and tables on standard error; standard output is for programs."""

import sys
from collections.abc import Iterable, Sequence
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

Json = Annotated[
    bool,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.arg(help="Print one JSON object as the last line of standard output; messages go to standard error."),
]


def say(text: str) -> None:
    """Prints a message."""
    print(text, file=sys.stderr)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str | None = None) -> None:
    """Prints a table; its first column has names, the others numbers."""
    table = Table(title=title, caption=caption)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    Console(stderr=True, markup=False).print(table)
