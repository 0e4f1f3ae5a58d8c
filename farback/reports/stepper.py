"""A timeline as a self-contained HTML page with a slider over its steps."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from farback.reports.memory import CURVES
from farback.reports.template import write_filled


def write_stepper(steps: Sequence[dict[str, Any]], title: str, path: Path) -> None:
    """Writes a page with a slider over steps, which are those of `farback watch --json`."""
    write_filled("stepper.html", path, title=escape(title), data=_script(steps), curves=_script(CURVES))


def _script(data: Any) -> str:
    """Returns JSON that cannot close the script element around it."""
    return json.dumps(data).replace("<", "\\u003c")
