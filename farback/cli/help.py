"""The help of commands: one line per command in lists, and one text per argument from the docstrings."""

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tyro

from farback.runs.algorithms import ALGORITHMS


class Choice(NamedTuple):
    """One of several commands: its line in the list, and a function that makes its class."""

    line: str
    make: Callable[[], type]


def choose(program: str, about: str, choices: Mapping[str, Choice], arguments: Sequence[str]) -> Any:
    """Returns the command that arguments ask for. Only this command's class is made. A list has one line per command.

    **Arguments:**

    - `program`: the words before the arguments, such as `farback train`.
    - `about`: the description above the list.
    - `choices`: the commands by name.
    - `arguments`: the command and its flags.
    """
    word, *rest = arguments or ["--help"]
    if word in choices:
        return tyro.cli(choices[word].make(), prog=f"{program} {word}", args=rest)
    lines: dict[str, Any] = {name: _brief(name, choice.line) for name, choice in choices.items()}
    return tyro.extras.subcommand_cli_from_dict(lines, prog=program, description=about, args=list(arguments or ["--help"]))


def first_sentence(text: str | None) -> str:
    """Returns the first sentence of a docstring in one line, without markup."""
    paragraph = inspect.cleandoc(text or "").partition("\n\n")[0].replace("\n", " ")
    sentence = re.split(r"(?<=\.)(?<!eq\.)(?<!eqs\.)\s", paragraph, maxsplit=1)[0]
    return re.sub(r"[`*]", "", sentence).rstrip(".:,") + "."


def summary(algorithm: str) -> str:
    """Returns the first sentence of an algorithm's docstring."""
    return first_sentence(ALGORITHMS[algorithm].algorithm.__doc__)


def descriptions(algorithm: str) -> dict[str, str]:
    """Returns the text of each argument, from the docstrings of an algorithm and of the maker of its network."""
    found: dict[str, str] = {}
    for made in ALGORITHMS[algorithm]:
        listed = (inspect.getdoc(made) or "").partition("**Arguments:**")[2].partition("\nReference:")[0]
        for item in re.split(r"\n- (?=`)", listed)[1:]:
            names, _, text = item.partition(":")
            found |= dict.fromkeys(re.findall(r"`(\w+)`", names), _sentence(text))
    return found


def _sentence(text: str) -> str:
    """Returns the text of an argument in one line. What follows 'In Python' is not for the command line."""
    text = textwrap.dedent(text.partition("\n\n")[0]).replace("`", "")
    text = re.sub(r"\s+", " ", text).strip()
    text = re.split(r"[.;,:]?\s*\bIn Python\b", text, maxsplit=1, flags=re.IGNORECASE)[0]
    text = text if not text or text.endswith(".") else f"{text}."
    is_word = re.match(r"a |[a-z]{2,}\b", text)  # a symbol such as γ or c_V keeps its case
    return text[:1].upper() + text[1:] if is_word else text


def _brief(name: str, line: str) -> type:
    made = dataclasses.make_dataclass(name, [])
    made.__doc__ = line
    return made
