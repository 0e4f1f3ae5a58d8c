"""`farback report`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from farback.cli.arguments import OptionalPath
from farback.cli.console import Json, say
from farback.reports.page import write_page
from farback.reports.record import read_record


@dataclasses.dataclass(frozen=True)
class Report:
    """Write a page that compares runs: curves, tables and configurations.

    Two examples that work, after farback train ... --dir runs/recall:
      farback report runs/recall
      farback report runs/* --out all.html
    """

    dirs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """The run directories."""
    out: OptionalPath = None
    """The page; by default report.html, in the run directory if only one is given, or else in the current directory."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        out = self.out or (self.dirs[0] if len(self.dirs) == 1 else Path()) / "report.html"
        records = [read_record(directory) for directory in self.dirs]
        written = write_page(records, out)
        say(f"Written: {', '.join(map(str, written))}")
        return {"page": str(out), "files": [str(path) for path in written]}
