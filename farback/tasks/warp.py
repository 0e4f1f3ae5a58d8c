"""Warped and padded time: recall of the last character, for runs of any length."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from farback.ops.random import below, draw, entropy
from farback.tasks.base import AbstractTask, Question, classification
from farback.types import InputError, Tally, Window

DUMMY = 0


class WarpSource(NamedTuple):
    """A run: its character, the character before it, the remaining steps, whether this is its first step, and the time."""

    letter: Int[Array, ""]
    previous: Int[Array, ""]
    left: Int[Array, ""]
    fresh: Bool[Array, ""]
    time: Int[Array, ""]
    key: PRNGKeyArray


class Warp(AbstractTask):
    """The target is the character before the present one, in a sequence whose characters last for several steps.

        characters  A      B      C            inputs   A A A B B B C C C        A 0 0 B 0 0 C 0 0
        low = high = 3                         targets  0 0 0 A A A B B B        0 · · A · · B · ·
                                                        warped                   padded

    The n = symbols − 1 characters other than the dummy 0 are uniform, and neighbours differ. A character lasts a number
    of steps uniform in {low, …, high}: low = high is a uniform warping of time. A padded character is shown once and
    followed by dummies instead of repetitions, which have no loss (·). Episodes end after T = `length` steps.

    The last character differs from the present one, or is the dummy at the beginning. With F the expected number of steps
    with a loss in the first run of an episode, and R in the other runs:

        optimum    = 0
        memoryless = (H(F, R) + R ln(n − 1)) / T,  H(F, R) = F ln((F + R) / F) + R ln((F + R) / R)

    Warped: F = E min(run, T), and F + R = T. Padded: F = 1, and F + R = u₀ + … + u_{T−1} is the expected number of runs
    that begin, u₀ = 1, uₜ the mean of u_{t−r} over r in {low, …, high} (renewal). For an endless
    stream (T → ∞) `memoryless` is ln(n − 1), times 2 / (low + high) if padded.

    **Arguments:**

    - `low`, `high`: the smallest and the largest number of steps of a character. `Warp(m, m)` is a uniform task of the
      thesis, `Warp(1, m)` a variable one.
    - `pad`: whether dummies replace the repetitions.
    - `symbols`: the number of symbols, including the dummy.
    - `length`: the number of steps of an episode; None for an endless stream.

    Reference: Tallec and Ollivier, Can recurrent neural networks warp time?, 2018; thesis section 5.3.
    """

    low: int
    high: int
    pad: bool = False
    symbols: int = 10
    length: int | None = 500

    def __check_init__(self):
        if not 1 <= self.low <= self.high:
            shown = f"Warp({self.low}, {self.high})"
            raise InputError(f"{shown}: a character lasts low..high steps; give 1 <= low <= high.")
        if self.symbols < 4:
            shown = f"Warp(symbols={self.symbols})"
            raise InputError(f"{shown}: one of two characters determines the other; give symbols >= 4.")
        if self.length is not None and self.length < 2:
            shown = f"Warp(length={self.length})"
            raise InputError(f"{shown}: the first step has nothing before it; give length >= 2, or None.")

    @property
    def input_size(self) -> int:
        return self.symbols

    @property
    def output_size(self) -> int:
        return self.symbols

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def memoryless(self) -> float:
        choice = math.log(self.symbols - 2)
        if self.length is None:
            return choice * 2 / (self.low + self.high) if self.pad else choice
        runs = range(self.low, self.high + 1)
        first = 1.0 if self.pad else sum(min(run, self.length) for run in runs) / len(runs)
        rest = (self._runs(self.length) if self.pad else self.length) - first
        return (entropy(first, rest) + rest * choice) / self.length

    def begin(self, key: PRNGKeyArray) -> WarpSource:
        key, words = draw(key)
        zero = jnp.zeros((), int)
        letter, left = below(self.symbols - 1, words[0]), self.low + below(self.high - self.low + 1, words[1])
        return WarpSource(letter, zero, left, jnp.array(True), zero, key)

    def emit(self, source: WarpSource) -> tuple[WarpSource, Window]:
        key, words = draw(source.key)
        again = jnp.array(False) if self.length is None else source.time == self.length - 1
        fresh = again | (source.left == 1)
        letters = self.symbols - 1
        shift = jnp.where(again, below(letters, words[0]), 1 + below(letters - 1, words[0]))
        following = WarpSource(
            jnp.where(fresh, (source.letter + shift) % letters, source.letter),
            jnp.where(again, DUMMY, jnp.where(fresh, source.letter + 1, source.previous)),
            jnp.where(fresh, self.low + below(self.high - self.low + 1, words[1]), source.left - 1),
            fresh,
            jnp.where(again, 0, source.time + 1 if self.length else jnp.ones((), int)),
            key,
        )
        asked = source.fresh if self.pad else jnp.array(True)
        shown = jax.nn.one_hot(jnp.where(asked, source.letter + 1, DUMMY), self.symbols)
        return following, Window(source.time == 0, shown, Question(source.previous, asked.astype(shown.dtype)))

    def loss(self, output: Float[Array, " symbols"], targets: Question) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return classification(output, targets.label, targets.weight.astype(output.dtype))

    def _runs(self, steps: int) -> float:
        begins = np.zeros(steps)
        begins[0] = 1
        for time in range(self.low, steps):
            begins[time] = begins[max(time - self.high, 0) : time - self.low + 1].sum() / (self.high - self.low + 1)
        return float(begins.sum())
