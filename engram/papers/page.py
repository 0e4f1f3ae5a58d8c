"""The table of a result, and the page of a paper."""

from collections.abc import Mapping, Sequence
from typing import Any

from engram.reports.numbers import number

Result = dict[str, Any]
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
HEADING = "## "


def table(result: Result) -> Table:
    """The columns and rows of a result, as text."""
    return _across(result) if result["across"] else _down(result)


def _down(result: Result) -> Table:
    """A row for each line, without columns that are empty."""
    columns = (
        "",
        f"paper, {result['unit']}",
        f"ours, {result['unit']}",
        "95 % interval",
        "seeds",
        "steps",
        "steps/s",
        "notes",
    )
    rows = [_cells(line) for line in result["lines"]]
    told = [column for column in range(len(columns)) if column == 0 or any(row[column] for row in rows)]
    return tuple(columns[column] for column in told), [tuple(row[column] for column in told) for row in rows]


def _cells(line: Result) -> tuple[str, ...]:
    ours, seeds = line["ours"], len(line["by_seed"])
    between = "" if ours["low"] is None else f"{number(ours['low'])} to {number(ours['high'])}"
    return (
        line["name"],
        "" if line["claimed"] is None else number(line["claimed"]),
        line["ended"] or ("" if ours["mean"] is None else number(ours["mean"])),
        between,
        str(seeds) if ours["count"] == seeds else f"{ours['count']} of {seeds}",
        f"{line['steps']:,}" if line["steps"] else "",
        "" if line["steps_per_second"] is None else f"{line['steps_per_second']:,.0f}",
        line["note"],
    )


def _across(result: Result) -> Table:
    """A table of both: ours, half of the interval, and in brackets the paper's."""
    columns, rows, found = crossed(result)
    return ("", *columns), [(row, *(_cell(found.get((column, row))) for column in columns)) for row in rows]


def _notes(result: Result) -> Table:
    """What else is to be known of the cells of a table of both."""
    columns, rows, found = crossed(result)
    noted = [(row, *(found.get((column, row), {"note": ""})["note"] for column in columns)) for row in rows]
    return ("notes", *columns), [row for row in noted if any(row[1:])]


def crossed(result: Result) -> tuple[list[str], list[str], dict[tuple[str, str], Result]]:
    """The columns, the rows and the lines of a result whose lines are called `column: row`."""
    found = {(name[0], name[1]): line for line in result["lines"] for name in [line["name"].split(": ")]}
    columns, rows = (list(dict.fromkeys(name[place] for name in found)) for place in (0, 1))
    return columns, rows, found


def _cell(line: Result | None) -> str:
    if line is None:
        return ""
    ours = line["ours"]
    if line["ended"] or ours["mean"] is None:
        return line["ended"]
    apart = "" if ours["low"] is None else f" ± {number((ours['high'] - ours['low']) / 2, 2)}"
    return f"{number(ours['mean'])}{apart}" + ("" if line["claimed"] is None else f" ({number(line['claimed'])})")


def section(paper: str, result: Result) -> str:
    """An item's part of the page of its paper: its table, its figure and the command that makes them."""
    noted = _notes(result) if result["across"] else ((), [])
    known = ", ".join(f"{name} {number(value)}" for name, value in result["levels"].items())
    figure = f"{paper}/{result['item'].partition('/')[2]}.png"
    parts = [
        *(f"{HEADING}{result['title']}", "", result["shows"], ""),
        *_rows(table(result)),
        *([f"In {result['unit']}: {known}.", ""] if known else []),
        *(_rows(noted) if noted[1] else []),
        *(f"`{result['command']}`, {result['machine']}, {result['date']}", ""),
        *(f"![{result['title']}]({figure})", ""),
    ]
    return "\n".join(parts)


def page(title: str, titles: Sequence[str], results: Mapping[str, str], before: str = "") -> str:
    """The page of a paper: of each of its items, by title, its section, or what the page had of it before."""
    had = {part.partition("\n")[0]: HEADING + part for part in f"\n{before}".split(f"\n{HEADING}")[1:]}
    found = [results.get(title) or had.get(title) for title in titles]
    return "\n".join([f"# {title}\n", *(part.rstrip("\n") + "\n" for part in found if part)])


def _rows(shown: Table) -> list[str]:
    columns, rows = shown
    return [*(_row(cells) for cells in (columns, ["---"] * len(columns), *rows)), ""]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
