"""Delayed recall."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.tasks.base import AbstractTask, Question, classification
from farback.types import InputError, Tally, Window


class RecallSource(NamedTuple):
    """The symbol of an episode, and the steps since it was shown."""

    symbol: Int[Array, ""]
    age: Int[Array, ""]
    key: PRNGKeyArray


class Recall(AbstractTask):
    """The symbol of the first step of an episode is the target `delay` steps later, with empty inputs between.

    Inputs are the symbol (one-hot, zero at the other steps) and a flag at the question. Only the question has a loss, so
    the mean over all delay + 1 steps is ln(symbols) / (delay + 1) without memory, and 0 at the optimum.

    **Arguments:**

    - `delay`: the number of steps from the cue to the question.
    - `symbols`: the number of symbols.
    """

    delay: int
    symbols: int = 2

    def __check_init__(self):
        if self.delay < 1:
            raise InputError(f"Recall(delay={self.delay}): the question follows the cue; give delay >= 1.")
        if self.symbols < 2:
            raise InputError(f"Recall(symbols={self.symbols}): one symbol carries no information; give symbols >= 2.")

    @property
    def input_size(self) -> int:
        return self.symbols + 1

    @property
    def output_size(self) -> int:
        return self.symbols

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def memoryless(self) -> float:
        return math.log(self.symbols) / (self.delay + 1)

    def begin(self, key: PRNGKeyArray) -> RecallSource:
        draw_key, key = jax.random.split(key)
        return RecallSource(jax.random.randint(draw_key, (), 0, self.symbols, int), jnp.zeros((), int), key)

    def emit(self, source: RecallSource) -> tuple[RecallSource, Window]:
        asked = source.age == self.delay
        shown = jax.nn.one_hot(jnp.where(source.age == 0, source.symbol, -1), self.symbols)
        fresh = self.begin(source.key)
        following = RecallSource(
            jnp.where(asked, fresh.symbol, source.symbol),
            jnp.where(asked, 0, source.age + 1),
            jax.lax.select(asked, fresh.key, source.key),
        )
        weight = asked.astype(shown.dtype)
        inputs = jnp.append(shown, weight)
        return following, Window(source.age == 0, inputs, Question(source.symbol, weight))

    def loss(self, output: Float[Array, " symbols"], targets: Question) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return classification(output, targets.label, targets.weight.astype(output.dtype))
