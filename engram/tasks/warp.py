"""Warped and padded time: the last character, however long this one lasts."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from engram.chance import below, draw, entropy
from engram.tasks.base import AbstractTask, Question, classification
from engram.types import InputError, Tally, Window

DUMMY = 0


class Run(NamedTuple):
    """A place in a run: its character, the one before it, the steps left, whether it is the run's first, and the time."""

    letter: Int[Array, ""]
    previous: Int[Array, ""]
    left: Int[Array, ""]
    fresh: Bool[Array, ""]
    time: Int[Array, ""]
    key: PRNGKeyArray


class Warp(AbstractTask):
    """Tell the last character before the present one, of a sequence each of whose characters is repeated.

        characters  A      B      C            inputs   A A A B B B C C C        A 0 0 B 0 0 C 0 0
        low = high = 3                         targets  0 0 0 A A A B B B        0 · · A · · B · ·
                                                        warped                   padded

    Characters are uniform among the n = symbols − 1 that are not the dummy 0, no two neighbours being equal; each lasts a
    number of steps uniform in {low, …, high}, so that low = high warps time uniformly. A padded character is shown once,
    and dummies follow instead of repetitions; there, nothing is charged (·). Episodes are cut off after T = `length` steps.

    The present character tells that the last is another, unless it was the dummy: with F the expected number of charged
    steps of an episode in its first run, and R in the others,

        optimum    = 0
        memoryless = (H(F, R) + R ln(n − 1)) / T,  H(F, R) = F ln((F + R) / F) + R ln((F + R) / R)

    Warped: F = E min(run, T), and F + R = T. Padded: F = 1, and F + R = u₀ + … + u_{T−1} is the expected number of runs
    that begin, u₀ = 1, uₜ the mean of u_{t−r} over r in {low, …, high} (renewal). Endless, T → ∞: ln(n − 1), if padded
    times 2 / (low + high).

    **Arguments:**

    - `low`, `high`: the fewest and the most steps a character lasts; the thesis's uniform tasks are `Warp(m, m)`, and its
      variable ones `Warp(1, m)`.
    - `pad`: whether dummies stand instead of repetitions.
    - `symbols`: the number of symbols, the dummy being one.
    - `length`: the number of steps of an episode, None for an endless stream.

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
            raise InputError(f"{shown}: of two characters, the one tells the other; give symbols >= 4.")
        if self.length is not None and self.length < 2:
            shown = f"Warp(length={self.length})"
            raise InputError(f"{shown}: there must be a step with something before it; give length >= 2, or None.")

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

    def begin(self, key: PRNGKeyArray) -> Run:
        key, words = draw(key)
        zero = jnp.zeros((), int)
        letter, left = below(self.symbols - 1, words[0]), self.low + below(self.high - self.low + 1, words[1])
        return Run(letter, zero, left, jnp.array(True), zero, key)

    def emit(self, source: Run) -> tuple[Run, Window]:
        key, words = draw(source.key)
        again = jnp.array(False) if self.length is None else source.time == self.length - 1
        fresh = again | (source.left == 1)
        letters = self.symbols - 1
        shift = jnp.where(again, below(letters, words[0]), 1 + below(letters - 1, words[0]))
        following = Run(
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
