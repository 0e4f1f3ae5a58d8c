"""Data files, written by the tests that need them."""

import gzip
import random
from pathlib import Path

import numpy as np

NAMES = ["the ferryman", "my aunt", "a grey heron", "the lamp keeper", "our youngest", "nobody"]
DEEDS = ["mends", "forgets", "carries", "counts", "hides", "paints", "finds again"]
THINGS = ["a wet rope", "seven lanterns", "the blue oar", "her letters", "an empty jar", "the tide tables"]
PLACES = ["before the rain", "by the weir", "in the loft", "at noon", "without a word"]


def story(lines=400, seed=0) -> str:
    """Lines of about 40 characters from a small vocabulary."""
    draw = random.Random(seed)
    told = (f"{draw.choice(NAMES)} {draw.choice(DEEDS)} {draw.choice(THINGS)}" for _ in range(lines))
    return "".join(f"{line} {draw.choice(PLACES)}.\n" if draw.random() < 0.6 else f"{line}.\n" for line in told)


def write_ptb(directory: Path, train: str, valid: str, test: str) -> Path:
    """Three files in the format of PTB: a space before each line and at its end."""
    directory.mkdir(exist_ok=True)
    for name, text in (("train", train), ("valid", valid), ("test", test)):
        lines = "".join(f" {line} \n" for line in text.splitlines())
        (directory / f"ptb.{name}.txt").write_text(lines)
    return directory


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in the IDX format."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def write_mnist(directory: Path, train=60, test=12, shape=(3, 4), packed=False, seed=0) -> Path:
    """Random images of three classes, in the four files of MNIST."""
    directory.mkdir(exist_ok=True)
    draw = np.random.default_rng(seed)
    for kind, count in (("train", train), ("t10k", test)):
        for name, array in (
            ("images-idx3", draw.integers(0, 256, (count, *shape))),
            ("labels-idx1", draw.permutation(np.arange(count) % 3)),
        ):
            data = idx(array)
            path = directory / f"{kind}-{name}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(data) if packed else data)
    return directory
