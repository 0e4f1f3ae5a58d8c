"""Configuration files: the flags of a command as TOML."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farback.runs.algorithms import arguments, canonical
from farback.runs.expressions import nearest
from farback.types import InputError


def read_words(path: Path) -> dict[str, Any]:
    """Reads a configuration file: the names of flags, with dashes or underscores, and `algorithm`."""
    try:
        found = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"--config {path}: the file does not exist; give another.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path} is not TOML: {error}. Correct it.") from None
    return {name.replace("-", "_"): value for name, value in found.items()}


def check_words(found: Mapping[str, Any], algorithm: str, own: Mapping[str, type], source: str) -> dict[str, Any]:
    """Returns the entries of a file as values of flags; refuses unknown names and wrong types.

    **Arguments:**

    - `found`: the entries.
    - `algorithm`: the algorithm whose flags they are.
    - `own`: the other flags of the command, with the types of their values.
    - `source`: the name of the file in messages.
    """
    known, checked = arguments(algorithm), {}
    for name, value in found.items():
        if name not in known and name not in own:
            raise InputError(f"{source}: {algorithm} has no flag '{name}'. {nearest(name, [*known, *own])}")
        options = known[name].options if name in known else (own[name],)
        if int in options and isinstance(value, float) and value.is_integer():
            value = int(value)  # TOML reads 1e6 as a float
        try:
            checked[name] = canonical(name, value, known[name]) if name in known else _own(name, value, own[name])
        except InputError as error:
            raise InputError(f"{source}: {error}") from None
    return checked


def write_words(words: Mapping[str, Any]) -> str:
    """Returns the text of a configuration file; values that are `None` are left out."""
    return "\n".join(f"{name} = {_toml(value)}" for name, value in words.items() if value is not None)


def _own(name: str, value: Any, kind: type) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        described = {"int": "a whole number", "float": "a number", "bool": "true or false"}
        raise InputError(f"{name} = {value!r}: give {described.get(kind.__name__, 'a string')}.")
    return value


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    return f"'{text}'" if text.isprintable() and "'" not in text else json.dumps(text, ensure_ascii=False)
