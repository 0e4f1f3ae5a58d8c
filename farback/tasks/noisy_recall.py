"""Recall of a class that is shown under noise."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.ops.random import below, draw, normal
from farback.tasks.base import AbstractTask, Question, classification
from farback.types import InputError, Tally, Window


class NoisyRecallSource(NamedTuple):
    """The time in an episode, and its class."""

    time: Int[Array, ""]
    label: Int[Array, ""]
    key: PRNGKeyArray


class NoisyRecall(AbstractTask):
    """A class −1 or +1 is shown under noise in the first steps of an episode, and is the target of the last step.

    Of T steps, the first w show class + noise, the steps after them show noise, and the last step is the question. The
    noise is independent and Gaussian with standard deviation σ. Inputs are the value (0 at the question) and a flag at
    the question, which is the only step with a loss. The log odds of the class are Λ = 2 Σ x / σ². If the class is +1,
    they are Gaussian with mean μ = 2w/σ² and variance 2μ:

        optimum    = E ln(1 + exp(−Λ)) / T
        memoryless = ln 2 / T

    The best answer is correct with probability Φ(√w / σ): 0.977 for w = 4, σ = 1.

    **Arguments:**

    - `length`: T, the number of steps of an episode.
    - `cues`: w, the number of steps that show the class.
    - `noise`: σ, the standard deviation of the noise.

    Reference: Bartunov, Deep reinforcement learning with memory (slides), where the answer is an action with
    reward 1 or −1, and T is at most 100.
    """

    length: int
    cues: int = 4
    noise: float = 1.0

    def __check_init__(self):
        if self.cues < 1:
            raise InputError(f"NoisyRecall(cues={self.cues}): the class is shown at least once; give cues >= 1.")
        if self.length <= self.cues:
            shown = f"NoisyRecall({self.length}, cues={self.cues})"
            raise InputError(f"{shown}: the question follows the cues; give length > cues.")
        if not 0 < self.noise < math.inf:
            raise InputError(f"NoisyRecall(noise={self.noise}): noise is a standard deviation; give 0 < noise < inf.")

    @property
    def episode_length(self) -> int:
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
        deviate, spacing = np.linspace(-12, 12, 4801, retstep=True)  # the rectangle rule is exact for such integrals
        density = np.exp(-(deviate**2) / 2) / math.sqrt(2 * math.pi)
        loss = np.logaddexp(0, -mean - math.sqrt(2 * mean) * deviate)
        return float(spacing * (density * loss).sum()) / self.length

    @property
    def memoryless(self) -> float:
        return math.log(2) / self.length

    def begin(self, key: PRNGKeyArray) -> NoisyRecallSource:
        zero = jnp.zeros((), int)
        return NoisyRecallSource(zero, zero, key)

    def emit(self, source: NoisyRecallSource) -> tuple[NoisyRecallSource, Window]:
        key, words = draw(source.key)
        label = jnp.where(source.time == 0, below(2, words[0]), source.label)
        asked = source.time == self.length - 1
        cue = jnp.where(source.time < self.cues, 2 * label - 1, 0).astype(float)
        flag = asked.astype(float)
        inputs = jnp.stack([jnp.where(asked, 0, cue + self.noise * normal(words[1])), flag])
        following = NoisyRecallSource(jnp.where(asked, 0, source.time + 1), label, key)
        return following, Window(source.time == 0, inputs, Question(label, flag))

    def loss(self, output: Float[Array, "2"], targets: Question) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return classification(output, targets.label, targets.weight.astype(output.dtype))
