"""`engram report`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from engram.cli.console import Json, say
from engram.reports.page import write_page
from engram.reports.record import read_record


@dataclasses.dataclass(frozen=True)
class Report:
    """Write one page with the curves, tables and configurations of runs, side by side; it needs no network.

    Two examples that work, after some engram train, one with --dir runs/recall:
      engram report runs/recall

      engram report runs/* --out all.html
    """

    dirs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """The run directories."""
    out: Path | None = None
    """The page; by default report.html, in the run directory if there is one alone."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        out = self.out or (self.dirs[0] if len(self.dirs) == 1 else Path()) / "report.html"
        records = [read_record(directory) for directory in self.dirs]
        written = write_page(records, out)
        say(f"Written: {', '.join(map(str, written))}")
        return {"page": str(out), "files": [str(path) for path in written]}
