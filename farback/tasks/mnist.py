"""Sets of labelled images in the four files of MNIST."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from farback.tasks.idx import read_idx
from farback.types import InputError

Labelled = tuple[UInt8[np.ndarray, "images rows columns"], UInt8[np.ndarray, " images"]]
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def read_mnist(directory: Path) -> dict[str, Labelled]:
    """The images of a directory and their labels, by part: "training", "validation" and "test".

    The last sixth of the training files, 10,000 of MNIST's 60,000 images, is the validation part.
    """
    missing = [name for name in FILES if not any((directory / f"{name}{end}").is_file() for end in ("", ".gz"))]
    if missing:
        raise InputError(
            f"'{directory}' has no file {missing[0]}: a set of images has {', '.join(FILES)}, plain or gzipped; "
            f"those of MNIST (47,040,016, 60,008, 7,840,016 and 10,008 bytes unpacked) are at yann.lecun.com/exdb/mnist."
        )
    (shades, labels), test = _read_pair(directory, FILES[:2]), _read_pair(directory, FILES[2:])
    if shades.shape[1:] != test[0].shape[1:]:
        raise InputError(
            f"'{directory}': the images of {FILES[0]} are {_size(shades)}, and those of {FILES[2]} {_size(test[0])}: they "
            f"are of different sets; download them again."
        )
    cut = len(labels) - len(labels) // 6
    if cut == len(labels):
        raise InputError(f"'{directory}' has {cut} training images, but a sixth of them is for validation: give 6 or more.")
    return {"training": (shades[:cut], labels[:cut]), "validation": (shades[cut:], labels[cut:]), "test": test}


def _read_pair(directory, names):
    shades, labels = read_idx(directory / names[0], 3), read_idx(directory / names[1], 1)
    if len(shades) != len(labels):
        raise InputError(
            f"'{directory}' has {len(shades):,} images in {names[0]}, but {len(labels):,} labels in {names[1]}: they are "
            f"of different sets; download them again."
        )
    if not shades.size:
        raise InputError(f"'{directory / names[0]}' is an IDX file without a pixel: download it again.")
    return shades, labels


def _size(shades: np.ndarray) -> str:
    return " × ".join(map(str, shades.shape[1:]))
