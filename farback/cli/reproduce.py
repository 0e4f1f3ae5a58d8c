"""`farback reproduce`."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import tyro

from farback.cli.arguments import OptionalPath
from farback.cli.bar import Bar, track
from farback.cli.console import Json, say, show_table
from farback.cli.train import use_devices
from farback.papers import PAPERS
from farback.papers.engine.item import SCALES, Item, Place, Scale
from farback.papers.engine.page import page, section, table
from farback.papers.engine.reproduce import reproduce
from farback.reports.numbers import number
from farback.runs.files import write_atomically
from farback.types import InputError


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """Reproduce tables and figures of a paper, with its numbers beside ours. The same command resumes.

    Two examples that work:
      farback reproduce uoro/influence --scale smoke
      farback reproduce uoro/influence --scale smoke --write pages --json
    """

    what: Annotated[str, tyro.conf.Positional]
    """A paper, such as uoro, or one of its items, such as uoro/influence."""
    scale: Scale = "laptop"
    """The size of the runs: smoke takes seconds, laptop takes hours on two cores, paper is the paper's own size."""
    dir: Path = Path("runs/papers")
    """The directory of the runs."""
    devices: int = 1
    """The number of devices. They split the seeds, or else the batch; CPU cores count as devices."""
    write: OptionalPath = None
    """A folder for the paper's page and figures. It covers all items run at this scale; the rest of the page stays."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        paper, items = find(self.what)
        use_devices(self.devices)
        results = []
        for item in items:
            minutes = item.minutes[SCALES.index(self.scale)]
            say(f"{item.name}, {item.title}: about {minutes:g} minutes on two cores")
            result = reproduce(item, self.scale, Place(self.dir, Bar, self.devices, say, track))
            levels = ", ".join(f"{name} {number(value)}" for name, value in item.levels.items())
            show_table(item.title, *table(result), levels)
            results.append(result)
        if self.write is not None:
            write_page(paper, self.scale, self.dir, self.write)
        return {"results": results}


def find(what: str) -> tuple[str, list[Item]]:
    """Returns the paper and the items that a name stands for."""
    paper, _, name = what.partition("/")
    if paper not in PAPERS:
        raise InputError(f"There is no paper '{paper}': give one of {', '.join(PAPERS)}.")
    items = [item for item in PAPERS[paper].ITEMS if name in ("", item.name.partition("/")[2])]
    if not items:
        raise InputError(f"There is no '{what}': give one of {', '.join(item.name for item in PAPERS[paper].ITEMS)}.")
    return paper, items


def write_page(paper: str, scale: Scale, runs: Path, folder: Path) -> None:
    """Writes a paper's page and figures for all items that were run at a scale, and keeps the rest of the page."""
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
