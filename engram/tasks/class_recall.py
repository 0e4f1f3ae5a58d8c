"""Noisy class recall: a sign under noise, asked for later."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from engram.chance import below, draw, normal
from engram.tasks.base import AbstractTask, Question, classification
from engram.types import InputError, Tally, Window


class Place(NamedTuple):
    """A place in an episode: the time, and the class."""

    time: Int[Array, ""]
    label: Int[Array, ""]
    key: PRNGKeyArray


class ClassRecall(AbstractTask):
    """A class −1 or +1 is shown under noise in the first steps of an episode, and asked for in its last.

    Of T steps, the first w show class + noise, the last asks, and those between show noise alone, all of it independent,
    Gaussian, of standard deviation σ. Inputs are the value (0 at the question) and a flag at the question, which alone is
    charged. The log-odds of the class are Λ = 2 Σ x / σ², Gaussian of mean μ = 2w/σ² and variance 2μ if the class is +1:

        optimum    = E ln(1 + exp(−Λ)) / T
        memoryless = ln 2 / T

    The best answer is right with probability Φ(√w / σ): 0.977 for w = 4, σ = 1.

    **Arguments:**

    - `length`: T, the number of steps of an episode.
    - `cues`: w, the number of steps that show the class.
    - `noise`: σ.

    Reference: Bartunov, Deep reinforcement learning with memory (slides), where it is a decision, rewarded by 1 or −1, and
    T reaches 100.
    """

    length: int
    cues: int = 4
    noise: float = 1.0

    def __check_init__(self):
        if self.cues < 1:
            raise InputError(f"ClassRecall(cues={self.cues}): the class must be shown; give cues >= 1.")
        if self.length <= self.cues:
            shown = f"ClassRecall({self.length}, cues={self.cues})"
            raise InputError(f"{shown}: the question comes after the cues; give length > cues.")
        if not 0 < self.noise < math.inf:
            raise InputError(f"ClassRecall(noise={self.noise}): noise is a standard deviation; give 0 < noise < inf.")

    @property
    def steps(self) -> int:
        return self.length

    @property
    def input_size(self) -> int:
        return 2

    @property
    def output_size(self) -> int:
        return 2

    @property
    def optimum(self) -> float:
        mean = 2 * self.cues / self.noise**2
        deviate, spacing = np.linspace(-12, 12, 4801, retstep=True)  # the rule of rectangles is exact for such integrals
        density = np.exp(-(deviate**2) / 2) / math.sqrt(2 * math.pi)
        loss = np.logaddexp(0, -mean - math.sqrt(2 * mean) * deviate)
        return float(spacing * (density * loss).sum()) / self.length

    @property
    def memoryless(self) -> float:
        return math.log(2) / self.length

    def begin(self, key: PRNGKeyArray) -> Place:
        zero = jnp.zeros((), int)
        return Place(zero, zero, key)

    def emit(self, source: Place) -> tuple[Place, Window]:
        key, words = draw(source.key)
        label = jnp.where(source.time == 0, below(2, words[0]), source.label)
        asked = source.time == self.length - 1
        cue = jnp.where(source.time < self.cues, 2 * label - 1, 0).astype(float)
        flag = asked.astype(float)
        inputs = jnp.stack([jnp.where(asked, 0, cue + self.noise * normal(words[1])), flag])
        following = Place(jnp.where(asked, 0, source.time + 1), label, key)
        return following, Window(source.time == 0, inputs, Question(label, flag))

    def loss(self, output: Float[Array, "2"], targets: Question) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return classification(output, targets.label, targets.weight.astype(output.dtype))
