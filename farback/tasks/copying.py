"""The interface of the copy tasks: data, then blanks, then answers."""

import math
from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from farback.ops.random import below, draw, entropy
from farback.tasks.base import AbstractTask, classification
from farback.types import InputError, Tally, Window


class CopySource(NamedTuple):
    """The time in an episode, its data, and the number of signals and of answers before this step."""

    time: Int[Array, ""]
    data: Int[Array, " length"]
    signals: Int[Array, ""]
    answers: Int[Array, ""]
    key: PRNGKeyArray


class AbstractCopy(AbstractTask):
    """Episodes of delay + 2 length steps: `length` data to remember, then signals and answers among blanks.

    Inputs and targets are data symbols or the blank; inputs may also be the signal. All steps have a loss. The accuracy is
    that of the answers. The data are uniform, and the answers are the data in their order, so

        optimum = 0
        blind   = length ln(symbols) / (delay + 2 length), for the answers alone
    """

    delay: eqx.AbstractVar[int]
    symbols: eqx.AbstractVar[int]
    length: eqx.AbstractVar[int]

    def __check_init__(self):
        name = type(self).__name__
        for argument, low, reason in (
            ("delay", 1, "answers follow the data"),
            ("symbols", 2, "one symbol carries no information"),
            ("length", 1, "there are data to copy"),
        ):
            if getattr(self, argument) < low:
                shown = f"{name}({argument}={getattr(self, argument)})"
                raise InputError(f"{shown}: {reason}; give {argument} >= {low}.")

    @abstractmethod
    def signal(self, source: CopySource, word: UInt32[Array, ""]) -> Bool[Array, ""]:
        """Whether this step shows a signal. It may depend on a random word."""

    @abstractmethod
    def answer(self, source: CopySource, signal: Bool[Array, ""]) -> Bool[Array, ""]:
        """Whether the target of this step is an answer."""

    @property
    def episode_length(self) -> int:
        """The number of steps of an episode."""
        return self.delay + 2 * self.length

    @property
    def input_size(self) -> int:
        return self.symbols + 2

    @property
    def output_size(self) -> int:
        return self.symbols + 1

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def blind(self) -> float:
        """The expected loss of the best predictor that uses the times of the answers, but not the data."""
        return self.length * math.log(self.symbols) / self.episode_length

    def begin(self, key: PRNGKeyArray) -> CopySource:
        zero = jnp.zeros((), int)
        return CopySource(zero, jnp.zeros(self.length, int), zero, zero, key)

    def emit(self, source: CopySource) -> tuple[CopySource, Window]:
        key, words = draw(source.key)
        signal = self.signal(source, words[0])
        answer = self.answer(source, signal)
        symbol = below(self.symbols, words[1])
        now = jnp.where(source.time < self.length, symbol, self.symbols + signal.astype(int))
        target = jnp.where(answer, source.data[source.answers], self.symbols)
        data = jnp.where(jnp.arange(self.length) == source.time, symbol, source.data)
        counts = (source.time + 1, source.signals + signal.astype(int), source.answers + answer.astype(int))
        time, signals, answers = (jnp.where(source.time == self.episode_length - 1, 0, count) for count in counts)
        shown = jax.nn.one_hot(now, self.input_size)
        return CopySource(time, data, signals, answers, key), Window(source.time == 0, shown, target)

    def loss(self, output: Float[Array, " symbols"], targets: Int[Array, ""]) -> tuple[Float[Array, ""], dict[str, Tally]]:
        answer = (targets < self.symbols).astype(output.dtype)
        _, metrics = classification(output, targets, answer)
        loss, _ = classification(output, targets, jnp.ones_like(answer))
        return loss, metrics

    def _unprompted(self) -> float:
        """The memoryless loss if the answers fall on blank inputs: on `length` of delay + length − 1 blanks."""
        return (entropy(self.length, self.delay - 1) + self.length * math.log(self.symbols)) / self.episode_length
