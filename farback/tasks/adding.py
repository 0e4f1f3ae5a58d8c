"""Adding: the sum of two marked numbers."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from farback.ops.random import below, draw, unit
from farback.tasks.base import AbstractTask, regression
from farback.types import InputError, Tally, Window


class AddingSource(NamedTuple):
    """The position in an episode, whether this half has had its mark, and the sum of the marked numbers."""

    time: Int[Array, ""]
    marked: Bool[Array, ""]
    total: Float[Array, ""]
    key: PRNGKeyArray


class Total(NamedTuple):
    """The target of a step: the sum so far, and the weight of the loss (1 or 0)."""

    value: Float[Array, "1"]
    weight: Float[Array, ""]


class Adding(AbstractTask):
    """Two of many numbers are marked, one in each half of the episode, and their sum is the target of the last step.

    Inputs are a number, uniform in [0, 1], and the mark (1 or 0). The first half has ⌊T/2⌋ steps, the second m = ⌈T/2⌉.
    The mark of a half is uniform over its steps. Only the last step has a loss, the squared error. The loss is a mean
    over all T steps; the metric `squared_error` is the mean over the last steps, as in papers. A loss of 1/T is a squared
    error of 1:

        optimum    = 0
        blind      = 1 / (6T), the variance of the sum of two
        memoryless = (2 − 1/m) / (12T), since with probability 1/m the last step shows one of the two

    **Arguments:**

    - `length`: T, the number of steps of an episode.

    Reference: Hochreiter and Schmidhuber, Long short-term memory, 1997; Arjovsky, Shah and Bengio, Unitary evolution
    recurrent neural networks, 2016; thesis section 5.3, where `blind`, a squared error of 0.167 by the constant answer
    1, is called memoryless.
    """

    length: int

    def __check_init__(self):
        if self.length < 2:
            raise InputError(f"Adding(length={self.length}): each half has at least one number; give length >= 2.")

    @property
    def episode_length(self) -> int:
        return self.length

    @property
    def input_size(self) -> int:
        return 2

    @property
    def output_size(self) -> int:
        return 1

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def blind(self) -> float:
        """The expected loss of the best predictor that uses the time of the answer, but not the numbers."""
        return 1 / (6 * self.length)

    @property
    def memoryless(self) -> float:
        return (2 - 1 / (self.length - self.length // 2)) / (12 * self.length)

    def begin(self, key: PRNGKeyArray) -> AddingSource:
        return AddingSource(jnp.zeros((), int), jnp.array(False), jnp.zeros(()), key)

    def emit(self, source: AddingSource) -> tuple[AddingSource, Window]:
        key, words = draw(source.key)
        half, time = self.length // 2, source.time
        left = jnp.where(time < half, half, self.length) - time  # the remaining steps of this half
        mark = ~source.marked & (below(left, words[0]) == 0)
        value = unit(words[1])
        total = source.total + jnp.where(mark, value, 0)
        last = time == self.length - 1
        following = AddingSource(
            jnp.where(last, 0, time + 1),
            (source.marked | mark) & (time != half - 1) & ~last,
            jnp.where(last, 0, total),
            key,
        )
        inputs = jnp.stack([value, mark.astype(value.dtype)])
        return following, Window(time == 0, inputs, Total(total[None], last.astype(value.dtype)))

    def loss(self, output: Float[Array, "1"], targets: Total) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return regression(output, targets.value.astype(output.dtype), targets.weight.astype(output.dtype))
