"""Distant brackets: the second bracket repeats the first."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from farback.ops.random import below, draw, entropy
from farback.tasks.base import AbstractTask, classification
from farback.types import InputError, Tally, Window


class BracketsSource(NamedTuple):
    """The position in a line, its symbol, the group of the line, and whether the stream begins here."""

    position: Int[Array, ""]
    symbol: Int[Array, ""]
    group: Int[Array, " s"]
    first: Bool[Array, ""]
    key: PRNGKeyArray


class Brackets(AbstractTask):
    """Next-symbol prediction on an endless stream of lines that repeat a group in brackets after a distance.

    A line is [x₁…xₛ]y₁…yₖ[x₁…xₛ]⏎, of N = 2s + k + 5 symbols. The characters x and y are uniform among a. The s + k new
    characters cost ln a each, and all other symbols are predictable. In nats per symbol:

        optimum    = (s + k) ln a / N
        blind      = (2s + k) ln a / N, where the second group costs as much as the first
        memoryless = (2 ln a + 2 ln 2 + [k > 0] ln a + H(2, [k > 0], c) + c ln a) / N

    The terms of `memoryless` are the symbols after the two [, after the two ] (the end of the line or not, and then which
    character), and after the 2s + k characters. Of these, c = 2(s − 1) + max(k − 1, 0) precede a character, two precede a
    ], and one precedes a [ unless k = 0. H(n₁, n₂, …) = Σ nᵢ ln(Σn / nᵢ).

    The symbols are the a characters, then [, ], and ⏎.

    **Arguments:**

    - `s`: the number of characters in a bracket.
    - `k`: the number of characters between the brackets.
    - `a`: the number of different characters.

    Reference: Tallec and Ollivier, Unbiased Online Recurrent Optimization, 2018; thesis section 3.7, which uses (1, 5, 10):
    its optimum is 1.661 bits, and blind is 1.938 bits.
    """

    s: int
    k: int
    a: int

    def __check_init__(self):
        shown = f"Brackets({self.s}, {self.k}, {self.a})"
        if self.s < 1 or self.k < 0:
            raise InputError(f"{shown}: there are s characters in brackets and k between them; give s >= 1 and k >= 0.")
        if self.a < 2:
            raise InputError(f"{shown}: one character carries no information; give a >= 2.")

    @property
    def input_size(self) -> int:
        return self.a + 3

    @property
    def output_size(self) -> int:
        return self.a + 3

    @property
    def line(self) -> int:
        """The number of symbols of a line."""
        return 2 * self.s + self.k + 5

    @property
    def optimum(self) -> float:
        return (self.s + self.k) * math.log(self.a) / self.line

    @property
    def blind(self) -> float:
        """The expected loss of the best predictor that uses the position in the line, but not the characters."""
        return (2 * self.s + self.k) * math.log(self.a) / self.line

    @property
    def memoryless(self) -> float:
        distant = min(self.k, 1)
        pairs = 2 * (self.s - 1) + max(self.k - 1, 0)
        kinds = entropy(1, 1) + entropy(2, distant, pairs)
        return (kinds + (2 + distant + pairs) * math.log(self.a)) / self.line

    def begin(self, key: PRNGKeyArray) -> BracketsSource:
        zero = jnp.zeros((), int)
        return BracketsSource(zero, zero + self.a, jnp.zeros(self.s, int), jnp.array(True), key)

    def emit(self, source: BracketsSource) -> tuple[BracketsSource, Window]:
        key, words = draw(source.key)
        position = jnp.where(source.position == self.line - 1, 0, source.position + 1)
        half = self.s + self.k + 2  # where the second bracket opens
        again = position >= half
        place = jnp.where(again, position - half, position)
        character = jnp.where(again, source.group[place - 1], below(self.a, words[0]))
        group = jnp.where(jnp.arange(1, self.s + 1) == place, character, source.group)
        marks = [place == 0, place == self.s + 1, again & (place == self.s + 2)]
        symbol = jnp.select(marks, [jnp.full_like(place, self.a + mark) for mark in range(3)], character)
        following = BracketsSource(position, symbol, group, jnp.array(False), key)
        shown = jax.nn.one_hot(source.symbol, self.input_size)
        return following, Window(source.first, shown, symbol)

    def loss(self, output: Float[Array, " symbols"], targets: Int[Array, ""]) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return classification(output, targets, jnp.ones_like(output, shape=()))
