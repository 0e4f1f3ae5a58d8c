"""Steps as an HTML page that needs nothing beside it, to walk through them."""

import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from engram.reports.memory import CURVES
from engram.runs.checkpoint import write_atomically
from engram.types import InputError


def write_stepper(steps: Sequence[dict[str, Any]], title: str, path: Path) -> None:
    """Writes a page with a slider over the steps, each as `engram watch --json` describes it."""
    template = Template(resources.files("engram.reports").joinpath("stepper.html").read_text(encoding="utf-8"))
    page = template.substitute(title=escape(title), data=_script(steps), curves=_script(CURVES))
    try:
        write_atomically(path, [page.encode("utf-8", errors="replace")])
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error.strerror}.") from None


def _script(data: Any) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(data).replace("<", "\\u003c")
