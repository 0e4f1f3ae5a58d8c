"""The table of a result, and the page of a paper."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from farback.reports.numbers import number

Result = dict[str, Any]
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
HEADING = "## "


def table(result: Result) -> Table:
    """The columns and rows of a result, as text."""
    return _across(result, "", _cell) if result["across"] else _down(result)


def _down(result: Result) -> Table:
    """A row for each line, without empty columns."""
    unit = result["unit"]
    columns = ("", f"paper, {unit}", f"ours, {unit}", "95 % interval", "seeds", "steps", "steps/s", "notes")
    rows = [_cells(line) for line in result["lines"]]
    shown = [index == 0 or any(row[index] for row in rows) for index in range(len(columns))]
    return tuple(itertools.compress(columns, shown)), [tuple(itertools.compress(row, shown)) for row in rows]


def _cells(line: Result) -> tuple[str, ...]:
    ours, seeds = line["ours"], len(line["by_seed"])
    return (
        line["name"],
        "" if line["claimed"] is None else number(line["claimed"]),
        line["ended"] or ("" if ours["mean"] is None else number(ours["mean"])),
        "" if ours["low"] is None else f"{number(ours['low'])} to {number(ours['high'])}",
        str(seeds) if ours["count"] == seeds else f"{ours['count']} of {seeds}",
        f"{line['steps']:,}" if line["steps"] else "",
        "" if line["steps_per_second"] is None else f"{line['steps_per_second']:,.0f}",
        line["note"],
    )


def _across(result: Result, corner: str, cell: Callable[[Result], str]) -> Table:
    """A table of columns and rows, without empty rows."""
    columns, rows, found = crossed(result)
    cells = [(row, *(cell(found[column, row]) if (column, row) in found else "" for column in columns)) for row in rows]
    return (corner, *columns), [row for row in cells if any(row[1:])]


def crossed(result: Result) -> tuple[list[str], list[str], dict[tuple[str, str], Result]]:
    """The columns, the rows and the lines of a result whose lines are named `column: row`."""
    found = {(name[0], name[1]): line for line in result["lines"] for name in [line["name"].split(": ")]}
    columns, rows = (list(dict.fromkeys(name[place] for name in found)) for place in (0, 1))
    return columns, rows, found


def _cell(line: Result) -> str:
    """Our mean, half of its interval, and the paper's number in parentheses."""
    ours = line["ours"]
    if line["ended"] or ours["mean"] is None:
        return line["ended"]
    half = "" if ours["low"] is None else f" ± {number((ours['high'] - ours['low']) / 2, 2)}"
    return f"{number(ours['mean'])}{half}" + ("" if line["claimed"] is None else f" ({number(line['claimed'])})")


def section(paper: str, result: Result) -> str:
    """The section of an item on the page of its paper: text, table, levels, notes, command and figure."""
    noted = _across(result, "notes", lambda line: line["note"]) if result["across"] else ((), [])
    known = ", ".join(f"{name} {number(value)}" for name, value in result["levels"].items())
    parts = [
        *(f"{HEADING}{result['title']}", "", result["shows"], ""),
        *_markdown(table(result)),
        *([f"In {result['unit']}: {known}.", ""] if known else []),
        *(_markdown(noted) if noted[1] else []),
        *(f"`{result['command']}`, {result['machine']}, {result['date']}", ""),
        *(f"![{result['title']}]({paper}/{result['item'].partition('/')[2]}.png)", ""),
    ]
    return "\n".join(parts)


def page(title: str, titles: Sequence[str], results: Mapping[str, str], before: str = "") -> str:
    """The page of a paper: the text before its first section, and for each title of an item its section in `results`, or
    else its section in `before`, the old page.
    """
    had = {part.partition("\n")[0]: HEADING + part for part in f"\n{before}".split(f"\n{HEADING}")[1:]}
    found = [results.get(title) or had.get(title) for title in titles]
    lead = before.partition(f"\n{HEADING}")[0] if before else f"# {title}\n"
    return "\n".join([lead.rstrip("\n") + "\n", *(part.rstrip("\n") + "\n" for part in found if part)])


def _markdown(shown: Table) -> list[str]:
    columns, rows = shown
    return [*("| " + " | ".join(cells) + " |" for cells in (columns, ["---"] * len(columns), *rows)), ""]
