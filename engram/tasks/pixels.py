"""Images, one pixel a step."""

import math
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from engram.tasks.base import AbstractTask, Part, Question, classification
from engram.tasks.entropy import conditional_entropy
from engram.tasks.mnist import Labelled, read_mnist
from engram.types import InputError, Tally, Window

HELD_OUT = 300
"""Of the digits: so many for validation, and so many for the test."""


class Images(eqx.Module):
    """Images of one part of the data.

    - `shades`: of each pixel, in the order in which it is shown.
    - `labels`: of each image.
    - `ambiguity`: what the last pixel leaves open of the label, in nats.
    """

    shades: UInt8[Array, "images pixels"]
    labels: UInt8[Array, " images"]
    ambiguity: float


class Place(NamedTuple):
    """A place in a stream: an image, and the pixel of it that is shown next."""

    image: Int[Array, ""]
    pixel: Int[Array, ""]
    key: PRNGKeyArray


class Pixels(AbstractTask):
    """Images shown one pixel a step, from top to bottom and left to right, and asked for their class at the last pixel.

    An image of P pixels is an episode of P steps. The input is the pixel's shade, from 0 to 1. Only the last step is
    charged, so the loss, a mean over all steps, is the cross-entropy of the class divided by P, and `accuracy` is that of
    the last steps. Without memory, only the last pixel's shade is known, which leaves H(class | shade) / P; the optimum is
    unknown.

    Training draws its images from the training part with replacement. What is held out is read in order, a sequence of a
    batch of B beginning at every 1/B of the images: as many steps as there are pixels in the part score each image once
    (7,840,000 for MNIST's test images, if B divides 10,000).

    **Arguments:**

    - `path`: a directory with the four IDX files of MNIST, or of a set of the same form, plain or gzipped. The last sixth
      of the training files, 10,000 of MNIST's 60,000 images, is for validation. Without a path, the 1,797 digits of 8 × 8
      pixels that come with scikit-learn: 300 for the test at their end, and before these 300 for validation.
    - `permuted`: whether the pixels of all images are shown in another order, which is drawn once.
    - `seed`: of that order.
    - `enlarged`: how many times as wide and high images are: so many pixels of one shade, squared, stand for each. With 2,
      those of MNIST have 3,136 pixels.

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
            raise InputError(f"Pixels(enlarged={enlarged}): give 1, which leaves images as they are, or more.")
        parts = _digits() if path is None else read_mnist(Path(path))
        shown = {name: (_flat(shades, enlarged), labels) for name, (shades, labels) in parts.items()}
        order = _order(shown["training"][0].shape[1], permuted, seed)
        images = {name: _images(shades[:, order], labels) for name, (shades, labels) in shown.items()}
        self.path, self.permuted, self.seed, self.enlarged = path, permuted, seed, enlarged
        self.classes = 1 + max(int(labels.max()) for _, labels in parts.values())
        self.white = 16 if path is None else 255
        self.images, self.held, self.in_order = images.pop("training"), images, False

    @property
    def steps(self) -> int:
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

    def held_out(self, part: Part = "test") -> "Pixels":
        return eqx.tree_at(lambda task: (task.images, task.in_order), self, (self.held[part], True))

    def begin(self, key: PRNGKeyArray) -> Place:
        draw_key, key = jax.random.split(key)
        first = jnp.zeros((), int)
        return Place(first if self.in_order else self._draw(draw_key), first, key)

    def sources(self, batch: int, key: PRNGKeyArray) -> Place:
        drawn = super().sources(batch, key)
        places = np.arange(batch) * len(self.images.labels) // batch
        return drawn._replace(image=jnp.asarray(places, int)) if self.in_order else drawn

    def anywhere(self, batch: int, key: PRNGKeyArray) -> Place:
        sources, count = self.sources(batch, key), len(self.images.labels)
        return sources._replace(image=(sources.image + jax.random.randint(key, (), 0, count)) % count)

    def emit(self, source: Place) -> tuple[Place, Window]:
        draw_key, key = jax.random.split(source.key)
        asked = source.pixel == self.pixels - 1
        after = (source.image + 1) % len(self.images.labels) if self.in_order else self._draw(draw_key)
        following = Place(jnp.where(asked, after, source.image), jnp.where(asked, 0, source.pixel + 1), key)
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
    # NumPy promises that the draws of this old generator never change; of its successors it promises no such thing.
    return np.random.RandomState(seed).permutation(pixels) if permuted else np.arange(pixels)


def _digits() -> dict[str, Labelled]:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InputError(
            "Pixels() shows the digits of scikit-learn: pip install 'engram[digits]', or give the directory of MNIST's "
            "files, such as Pixels('mnist')."
        ) from None
    shades, labels = (np.asarray(found).astype(np.uint8) for found in load_digits(return_X_y=True))
    shades = shades.reshape(-1, 8, 8)
    cuts = {"training": slice(-2 * HELD_OUT), "validation": slice(-2 * HELD_OUT, -HELD_OUT), "test": slice(-HELD_OUT, None)}
    return {name: (shades[cut], labels[cut]) for name, cut in cuts.items()}
