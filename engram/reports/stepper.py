"""Steps as an HTML page that needs nothing beside it, to walk through them."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from engram.reports.memory import CURVES
from engram.reports.template import write_filled


def write_stepper(steps: Sequence[dict[str, Any]], title: str, path: Path) -> None:
    """Writes a page with a slider over the steps, each as `engram watch --json` describes it."""
    write_filled("stepper.html", path, title=escape(title), data=_script(steps), curves=_script(CURVES))


def _script(data: Any) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(data).replace("<", "\\u003c")
