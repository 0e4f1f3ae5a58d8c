"""Counting: as many b as a."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from farback.tasks.base import AbstractTask, classification
from farback.types import InputError, Tally, Window

A, B, END = range(3)


class AnBnSource(NamedTuple):
    """The n of a line, the position in it, and whether the stream begins here."""

    n: Int[Array, ""]
    position: Int[Array, ""]
    first: Bool[Array, ""]
    key: PRNGKeyArray


class AnBn(AbstractTask):
    """Next-symbol prediction on an endless stream of lines aⁿ ⏎ bⁿ ⏎, with n uniform in {low, ..., high}.

    The end of a line of b is predictable only by counting. In nats per symbol: optimum ln(high − low + 1) / (low + high +
    2).

    **Arguments:**

    - `low`, `high`: the smallest and the largest n.

    Reference: Gers and Schmidhuber, 2001; thesis section 3.7, which uses (1, 32).
    """

    low: int
    high: int

    def __check_init__(self):
        if not 1 <= self.low <= self.high:
            raise InputError(f"AnBn({self.low}, {self.high}): n is in low..high; give 1 <= low <= high.")

    @property
    def input_size(self) -> int:
        return 3

    @property
    def output_size(self) -> int:
        return 3

    @property
    def optimum(self) -> float:
        return math.log(self.high - self.low + 1) / (self.low + self.high + 2)

    @property
    def memoryless(self) -> float:
        mean = (self.low + self.high) / 2
        stop = 1 / mean  # the probability that a run of one letter ends here
        run = -stop * math.log(stop) - (1 - stop) * math.log(1 - stop) if mean > 1 else 0.0
        return (2 * mean * run + 2 * math.log(2)) / (2 * mean + 2)

    def begin(self, key: PRNGKeyArray) -> AnBnSource:
        draw_key, key = jax.random.split(key)
        return AnBnSource(self._draw(draw_key), jnp.zeros((), int), jnp.array(True), key)

    def emit(self, source: AnBnSource) -> tuple[AnBnSource, Window]:
        draw_key, key = jax.random.split(source.key)
        ends = source.position == 2 * source.n + 1
        n = jnp.where(ends, self._draw(draw_key), source.n)
        following = AnBnSource(n, jnp.where(ends, 0, source.position + 1), jnp.array(False), key)
        symbol = jax.nn.one_hot(_symbol(source), 3)
        return following, Window(source.first, symbol, _symbol(following))

    def loss(self, output: Float[Array, "3"], targets: Int[Array, ""]) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return classification(output, targets, jnp.ones_like(output, shape=()))

    def _draw(self, key):
        return jax.random.randint(key, (), self.low, self.high + 1, int)


def _symbol(line: AnBnSource) -> Int[Array, ""]:
    n, position = line.n, line.position
    return jnp.where(position < n, A, jnp.where((position > n) & (position <= 2 * n), B, END))
