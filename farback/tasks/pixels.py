"""Images, one pixel per step."""

import math
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from farback.tasks.base import AbstractTask, Question, classification
from farback.tasks.entropy import conditional_entropy
from farback.tasks.mnist import Labelled, read_mnist
from farback.types import InputError, Split, Tally, Window

HELD_OUT = 300
"""The number of digits for validation, and for the test."""


class Images(eqx.Module):
    """The images of one part of the data.

    - `shades`: the shade of each pixel, in the order in which pixels are shown.
    - `labels`: the label of each image.
    - `ambiguity`: the entropy of the label given the last pixel, in nats.
    """

    shades: UInt8[Array, "images pixels"]
    labels: UInt8[Array, " images"]
    ambiguity: float


class PixelsSource(NamedTuple):
    """An image, and the index of its next pixel."""

    image: Int[Array, ""]
    pixel: Int[Array, ""]
    key: PRNGKeyArray


class Pixels(AbstractTask):
    """Classification of images that are shown one pixel per step, row by row; the class is the target of the last pixel.

    An image of P pixels is an episode of P steps. The input is the shade of a pixel, from 0 to 1. Only the last step
    has a loss, so the mean over all steps is the cross-entropy of the class divided by P. `accuracy` is that of the
    last steps. The best memoryless predictor uses the last pixel alone; its loss is H(class | shade) / P. The optimum
    is unknown.

    Training draws images of the training part with replacement. The held-out parts are read in order: sequence b of a
    batch of B begins at the fraction b/B of the images, so scoring each image once takes one step per pixel of the part
    (7,840,000 steps for the test images of MNIST, if B divides 10,000).

    **Arguments:**

    - `path`: a directory with the four IDX files of MNIST, or of a set of the same form, plain or gzipped. The last sixth
      of the training files, 10,000 of the 60,000 images of MNIST, is the validation part. Without a path, the images are
      the 1,797 digits of 8 × 8 pixels of scikit-learn: the last 300 are the test part, the 300 before them the validation
      part.
    - `permuted`: whether the pixels are shown in a fixed random order.
    - `seed`: the seed of that order.
    - `enlarged`: the factor on the width and the height of the images. With 2, MNIST images have 3,136 pixels.

    Reference: Le, Jaitly and Hinton, *A simple way to initialize recurrent networks of rectified linear units*, 2015;
    thesis section 5.4 and figure 5.6, with an LSTM of 512 units.
    """

    path: str | None
    permuted: bool
    seed: int
    enlarged: int
    classes: int
    white: int
    images: Images
    held: dict[str, Images]
    in_order: bool

    def __init__(self, path: str | None = None, permuted: bool = False, seed: int = 0, enlarged: int = 1):
        if enlarged < 1:
            raise InputError(f"Pixels(enlarged={enlarged}): give enlarged >= 1; 1 does not change the images.")
        parts = _digits() if path is None else read_mnist(Path(path))
        shown = {name: (_flat(shades, enlarged), labels) for name, (shades, labels) in parts.items()}
        order = _order(shown["training"][0].shape[1], permuted, seed)
        images = {name: _images(shades[:, order], labels) for name, (shades, labels) in shown.items()}
        self.path, self.permuted, self.seed, self.enlarged = path, permuted, seed, enlarged
        self.classes = 1 + max(int(labels.max()) for _, labels in parts.values())
        self.white = 16 if path is None else 255
        self.images, self.held, self.in_order = images.pop("training"), images, False

    @property
    def episode_length(self) -> int:
        return self.pixels

    @property
    def input_size(self) -> int:
        return 1

    @property
    def output_size(self) -> int:
        return self.classes

    @property
    def pixels(self) -> int:
        """The number of pixels of an image: the steps of an episode."""
        return self.images.shades.shape[1]

    @property
    def optimum(self) -> float:
        return math.nan

    @property
    def memoryless(self) -> float:
        return self.images.ambiguity / self.pixels

    def split(self, part: Split = "test") -> "Pixels":
        return eqx.tree_at(lambda task: (task.images, task.in_order), self, (self.held[part], True))

    def begin(self, key: PRNGKeyArray) -> PixelsSource:
        draw_key, key = jax.random.split(key)
        first = jnp.zeros((), int)
        return PixelsSource(first if self.in_order else self._draw(draw_key), first, key)

    def sources(self, batch: int, key: PRNGKeyArray) -> PixelsSource:
        drawn = super().sources(batch, key)
        places = np.arange(batch) * len(self.images.labels) // batch
        return drawn._replace(image=jnp.asarray(places, int)) if self.in_order else drawn

    def anywhere(self, batch: int, key: PRNGKeyArray) -> PixelsSource:
        sources, count = self.sources(batch, key), len(self.images.labels)
        return sources._replace(image=(sources.image + jax.random.randint(key, (), 0, count)) % count)

    def emit(self, source: PixelsSource) -> tuple[PixelsSource, Window]:
        draw_key, key = jax.random.split(source.key)
        asked = source.pixel == self.pixels - 1
        after = (source.image + 1) % len(self.images.labels) if self.in_order else self._draw(draw_key)
        following = PixelsSource(jnp.where(asked, after, source.image), jnp.where(asked, 0, source.pixel + 1), key)
        shade = self.images.shades[source.image, source.pixel].astype(float) / self.white
        question = Question(self.images.labels[source.image].astype(int), asked.astype(float))
        return following, Window(source.pixel == 0, shade[None], question)

    def loss(self, output: Float[Array, " classes"], targets: Question) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return classification(output, targets.label, targets.weight.astype(output.dtype))

    def _draw(self, key):
        return jax.random.randint(key, (), 0, len(self.images.labels), int)


def _flat(shades: UInt8[np.ndarray, "images rows columns"], times: int) -> UInt8[np.ndarray, "images pixels"]:
    return shades.repeat(times, 1).repeat(times, 2).reshape(len(shades), -1)


def _images(shades: np.ndarray, labels: np.ndarray) -> Images:
    return Images(jnp.asarray(shades), jnp.asarray(labels), conditional_entropy(shades[:, -1], labels))


def _order(pixels: int, permuted: bool, seed: int) -> Int[np.ndarray, " pixels"]:
    if not 0 <= seed < 2**32:
        raise InputError(f"Pixels(seed={seed}): give 0 <= seed < 2**32.")
    # NumPy guarantees that the draws of this legacy generator never change.
    return np.random.RandomState(seed).permutation(pixels) if permuted else np.arange(pixels)


def _digits() -> dict[str, Labelled]:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InputError(
            "Pixels() uses the digits of scikit-learn: pip install 'farback[digits]', or give a directory with the files "
            "of MNIST, such as Pixels('mnist')."
        ) from None
    shades, labels = (np.asarray(found).astype(np.uint8) for found in load_digits(return_X_y=True))
    shades = shades.reshape(-1, 8, 8)
    cuts = {"training": slice(-2 * HELD_OUT), "validation": slice(-2 * HELD_OUT, -HELD_OUT), "test": slice(-HELD_OUT, None)}
    return {name: (shades[cut], labels[cut]) for name, cut in cuts.items()}
