"""Reads texts as sequences of numbers, in parts, with the vocabulary of the training part."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt

from farback.types import InputError

PARTS = ("training", "validation", "test")
PTB = ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt")
TEXT8 = 100_000_000
"""The size of the file text8 in bytes."""
UNKNOWN = "<unk>"

Codes = UInt[np.ndarray, " symbols"]


class Corpus(NamedTuple):
    """A text as numbers.

    - `vocabulary`: the spelling of each symbol.
    - `parts`: the symbols of "training", "validation" and "test", as indices into the vocabulary.
    """

    vocabulary: tuple[str, ...]
    parts: dict[str, Codes]


def read_corpus(path: Path, unit: str) -> Corpus:
    """Reads a text file, whose parts are 90, 5 and 5 % of the symbols, or a directory with the three files of PTB.

    The vocabulary is that of the training part: characters by code point, words in the order of the text. Symbols that
    are only in the other parts become `<unk>`, which is added to the vocabulary if needed.
    """
    codes, spell = _codes([_read_ptb(path / name) for name in PTB] if path.is_dir() else [_read(path)], unit)
    if len(codes) == 1:
        codes = np.split(codes[0], [len(codes[0]) * 9 // 10, len(codes[0]) * 19 // 20])
    for name, part in zip(PARTS, codes, strict=True):
        if len(part) < 2:
            raise InputError(
                f"'{path}': the {name} part has {len(part)} symbols, by {unit}, but a prediction needs 2: give a "
                f"longer text."
            )
    known = np.flatnonzero(np.bincount(codes[0]))
    vocabulary = [spell(int(code)) for code in known]
    places = np.full(1 + max(int(part.max()) for part in codes), -1)
    places[known] = np.arange(len(known))
    if any((places[part] < 0).any() for part in codes[1:]):
        vocabulary += [] if UNKNOWN in vocabulary else [UNKNOWN]
        places[places < 0] = vocabulary.index(UNKNOWN)
    places = places.astype(np.min_scalar_type(len(vocabulary) - 1))
    return Corpus(tuple(vocabulary), {name: places[part] for name, part in zip(PARTS, codes, strict=True)})


def _codes(texts: list[str], unit: str) -> tuple[list[Codes], Callable[[int], str]]:
    """Returns (codes, spell): the number of each symbol of each text, and the spelling of a number."""
    if unit == "character":
        return [np.frombuffer(text.encode("utf-32-le"), np.uint32) for text in texts], chr
    numbers: dict[str, int] = {}
    words = (re.findall(r"\n|\S+", text) for text in texts)
    codes = [np.array([numbers.setdefault(word, len(numbers)) for word in found], np.uint32) for found in words]
    return codes, list(numbers).__getitem__


def _read_ptb(path: Path) -> str:
    """A file of PTB, without the space at the beginning of each line."""
    return re.sub(r"(?m)^ ", "", _read(path))


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"'{path}' cannot be read: {error.strerror}. A text is a UTF-8 file, such as text8 ({TEXT8:,} bytes, from "
            f"mattmahoney.net/dc/text8.zip), or a directory with {', '.join(PTB)} (5.1, 0.4 and 0.4 MB, in "
            f"simple-examples.tgz of www.fit.vutbr.cz/~imikolov/rnnlm)."
        ) from None
    if path.name == "text8" and len(data) != TEXT8:
        raise InputError(
            f"'{path}' has {len(data):,} bytes, but text8 has {TEXT8:,}: it is incomplete or changed; download it again "
            f"from mattmahoney.net/dc/text8.zip."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"'{path}' is no UTF-8 text: byte {error.start:,} is 0x{data[error.start]:02x}. Convert it, or give another."
        ) from None
