"""A timeline as a self-contained HTML page with a slider over its steps."""

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from farback.reports.figures import pillow
from farback.reports.memory import CURVES
from farback.reports.template import write_filled


def write_stepper(
    steps: Sequence[dict[str, Any]], images: Iterable[Mapping[str, np.ndarray]], title: str, path: Path
) -> None:
    """Writes a page with a slider over steps, which are those of `farback watch --json`, and their images by name."""
    shown = [
        {name: value for name, value in step.items() if name != "observation"}
        | {"images": {name: _address(image) for name, image in seen.items()}}
        for step, seen in zip(steps, images, strict=True)
    ]
    write_filled("stepper.html", path, title=escape(title), data=_script(shown), curves=_script(CURVES))


def _address(image: np.ndarray) -> str:
    """Returns an address that holds an image as PNG."""
    written = io.BytesIO()
    images, _ = pillow()
    images.fromarray(image).save(written, "png")
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()


def _script(data: Any) -> str:
    """Returns JSON that cannot close the script element around it."""
    return json.dumps(data).replace("<", "\\u003c")
