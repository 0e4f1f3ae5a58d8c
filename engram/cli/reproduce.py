"""`engram reproduce`."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import tyro

from engram.cli.bar import Bar, track
from engram.cli.console import Json, say, show_table
from engram.cli.train import use_devices
from engram.papers import PAPERS
from engram.papers.item import Item, Scale
from engram.papers.page import page, section, table
from engram.papers.reproduce import reproduce
from engram.reports.numbers import number
from engram.runs.checkpoint import write_atomically
from engram.types import InputError


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """Reproduce tables and figures of a paper, its numbers beside ours. The same command goes on where it was broken off.

    Two examples that work:
      engram reproduce uoro/influence --scale smoke

      engram reproduce uoro/influence --scale smoke --write pages --json
    """

    what: Annotated[str, tyro.conf.Positional]
    """A paper, or one of its items: PAPER/ITEM."""
    scale: Scale = "laptop"
    """How much is run: smoke takes seconds, laptop hours on two cores, paper is the paper's own."""
    dir: Path = Path("runs/papers")
    """Where the runs lie."""
    devices: int = 1
    """Over how many devices seeds, or else the batch, are laid; CPU cores count as devices."""
    write: Path | None = None
    """A folder to write the paper's page and figures to, with all items that were run at this scale. What it has of others
    stays."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        paper, items = find(self.what)
        use_devices(self.devices)
        results = []
        for item in items:
            say(f"{item.name}, {item.title}: about {item.minutes[self.scale]:g} minutes on two cores")
            result = reproduce(item, self.scale, self.dir, devices=self.devices, listener=Bar, warn=say, each=track)
            levels = ", ".join(f"{name} {number(value)}" for name, value in item.levels.items())
            show_table(item.title, *table(result), levels)
            results.append(result)
        if self.write is not None:
            write_page(paper, self.scale, self.dir, self.write)
        return {"results": results}


def find(what: str) -> tuple[str, list[Item]]:
    """The paper that is asked for, and its items."""
    paper, _, name = what.partition("/")
    if paper not in PAPERS:
        raise InputError(f"There is no paper '{paper}': give one of {', '.join(PAPERS)}.")
    items = [item for item in PAPERS[paper].ITEMS if name in ("", item.name.partition("/")[2])]
    if not items:
        raise InputError(f"There is no '{what}': give one of {', '.join(item.name for item in PAPERS[paper].ITEMS)}.")
    return paper, items


def write_page(paper: str, scale: Scale, runs: Path, folder: Path) -> None:
    """Writes a paper's page and its figures, of all items that were run at a scale, and keeps the rest of the page."""
    figures, items = folder / paper, PAPERS[paper].ITEMS
    figures.mkdir(parents=True, exist_ok=True)
    results: dict[str, str] = {}
    for item in items:
        home = runs / item.name / scale
        if (home / "result.json").exists():
            results[item.title] = section(paper, json.loads((home / "result.json").read_text()))
            shutil.copyfile(home / "figure.png", figures / f"{item.name.partition('/')[2]}.png")
    out = folder / f"{paper}.md"
    before = out.read_text() if out.exists() else ""
    write_atomically(out, [page(PAPERS[paper].TITLE, [item.title for item in items], results, before).encode()])
    say(f"Written: {out}")
