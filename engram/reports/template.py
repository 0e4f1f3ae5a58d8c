"""Pages made from the templates beside this file."""

from importlib import resources
from pathlib import Path
from string import Template

from engram.runs.checkpoint import write_atomically
from engram.types import InputError


def write_filled(template: str, out: Path, **parts: object) -> None:
    """Writes a template with its parts filled in; it takes the place of an older file when it is complete."""
    text = Template(resources.files("engram.reports").joinpath(template).read_text(encoding="utf-8"))
    try:
        write_atomically(out, [text.substitute(parts).encode("utf-8", errors="replace")])
    except OSError as error:
        raise InputError(f"'{out}' cannot be written: {error.strerror}.") from None
