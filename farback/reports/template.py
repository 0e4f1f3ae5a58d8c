"""HTML pages from the templates beside this file."""

from importlib import resources
from pathlib import Path
from string import Template

from farback.runs.files import write_atomically
from farback.types import InputError


def write_filled(template: str, out: Path, **parts: object) -> None:
    """Writes a template with its parts filled in, atomically."""
    text = Template(resources.files("farback.reports").joinpath(template).read_text(encoding="utf-8"))
    try:
        write_atomically(out, [text.substitute(parts).encode("utf-8", errors="replace")])
    except OSError as error:
        raise InputError(f"'{out}' cannot be written: {error.strerror}.") from None
