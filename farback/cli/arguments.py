"""The flags of an algorithm: its arguments, with their types, defaults and docstrings."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro

from farback.cli.help import descriptions
from farback.runs.algorithms import Argument, arguments


def whole_number(text: str) -> int:
    """Parses a whole number, such as 200_000 or 1e6."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise ValueError(f"{text} is not a whole number") from None
        return int(number)


Whole = Annotated[
    int,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=lambda words: whole_number(words[0]),
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    ),
]
"""A flag that is a whole number, such as 1e6."""


def optional(metavar: str, text: str | None = None) -> Any:
    """Returns the annotation of a flag that may be left out."""
    return tyro.conf.arg(metavar=metavar, help=text, help_behavior_hint="(optional)")


OptionalWhole = Annotated[Whole | None, optional("INT")]
"""A flag that is a whole number, or left out."""
OptionalPath = Annotated[Path | None, optional("PATH")]
"""A flag that is a path, or left out."""


def flags(algorithm: str, defaults: Mapping[str, Any] | None = None) -> list[tuple[str, Any, Any]]:
    """Returns the flags of an algorithm's arguments as fields for `dataclasses.make_dataclass`, required ones first.

    **Arguments:**

    - `algorithm`: the name of the algorithm.
    - `defaults`: defaults that replace the algorithm's own.
    """
    described = descriptions(algorithm)
    found = []
    for name, argument in arguments(algorithm).items():
        default = (defaults or {}).get(name, argument.default)
        field = (
            dataclasses.field() if default is dataclasses.MISSING else dataclasses.field(default=_shown(argument, default))
        )
        found.append((name, _annotation(argument, described.get(name, ""), default), field))
    return sorted(found, key=lambda flag: flag[2].default is not dataclasses.MISSING)


def words(command: Any, algorithm: str) -> dict[str, Any]:
    """Returns the arguments of an algorithm from the flags of a command."""
    return {name: _read(argument, getattr(command, name)) for name, argument in arguments(algorithm).items()}


def _annotation(argument: Argument, text: str, default: Any) -> Any:
    """Returns the annotation of a flag: its type, the name of its value, and its help."""
    plain, metavar = _type(argument)
    hint = "(optional)" if default is None else None
    kind = plain | None if type(None) in argument.options else plain
    return Annotated[kind, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help=text, metavar=metavar, help_behavior_hint=hint)]


def _type(argument: Argument) -> tuple[Any, str | None]:
    """Returns the type of a flag, and the name of its value."""
    options = set(argument.options) - {type(None)}
    if bool in options:
        return bool, None
    if options == {int}:
        return Whole, "INT"
    if options == {float}:
        return float, "FLOAT"
    return str, "FLOAT|EXPRESSION" if argument.is_number else "EXPRESSION"


def _shown(argument: Argument, default: Any) -> Any:
    """Returns a default in the form of its flag: text, for a number that may also be a schedule."""
    is_text = _type(argument)[0] is str and default is not None
    return str(default) if is_text else default


def _read(argument: Argument, value: Any) -> Any:
    """Returns the value of a flag. Text becomes a number where the argument may be one."""
    if isinstance(value, str) and argument.is_number:
        try:
            return float(value)
        except ValueError:
            return value
    return value
