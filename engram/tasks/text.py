"""Predicting the next symbol of a text."""

import math
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt

from engram.tasks.base import AbstractTask, Part, classification
from engram.tasks.corpus import read_corpus
from engram.tasks.entropy import conditional_entropy
from engram.types import InputError, Tally, Window


class Passage(eqx.Module):
    """One part of a text.

    - `symbols`: their numbers in the vocabulary.
    - `ambiguity`: what a symbol leaves open of the next, in nats.
    """

    symbols: UInt[Array, " symbols"]
    ambiguity: float


class Place(NamedTuple):
    """A place in the text, and whether a sequence begins there."""

    position: Int[Array, ""]
    first: Bool[Array, ""]


class Text(AbstractTask):
    """Next-symbol prediction on a text: the input is the symbol x_t, one-hot, and the target x_{t+1}.

    The loss is the cross-entropy in nats, the metric `bits` the same in bits, and the loss's exponential the perplexity.

    A batch of B sequences reads the N symbols of a part at B places at once: sequence b begins at symbol ⌊b (N − 1) / B⌋,
    reads on to the end, and then from the beginning, where `first` cuts its memory off. Nothing is shuffled, drawn or
    skipped: (N − 1) / B steps see each symbol once, and a state that is carried from window to window belongs to the text
    that comes next. Each sequence begins without memory, which tells where a part is short: score it with a small batch.
    Seeds differ in their models, and not in their data.

    The symbols are those of the training part, by code point or by spelling; if a part that is held out has others, they
    are all one more, `<unk>`. Training shows it only where the text itself spells it out, as PTB does.

    The optimum is unknown. Without memory, only the present symbol is known, which leaves H(x_{t+1} | x_t), by the counts
    of pairs in the part itself.

    **Arguments:**

    - `path`: a UTF-8 text, of which the first 90 % of symbols are for training, the next 5 % for validation and the last
      5 % for the test, which for text8 is the field's 90, 5 and 5 million characters; or a directory with ptb.train.txt,
      ptb.valid.txt and ptb.test.txt.
    - `unit`: `character`, or `word`: what stands between white space, and each end of a line. The space with which each
      line of PTB's files begins is no character: there are 5,059 k, 396 k and 446 k, of 50 kinds, and of words 929,589,
      73,760 and 82,430, of 10,000 kinds.

    Reference: Mikolov et al., *Subword language modeling with neural networks*, 2012; Mahoney, *Large text compression
    benchmark*, 2011; thesis sections 4.6.2 and 5.4.
    """

    path: str
    unit: str
    vocabulary: tuple[str, ...] = eqx.field(static=True, repr=False)
    passage: Passage
    held: dict[str, Passage]

    def __init__(self, path: str, unit: str = "character"):
        if unit not in ("character", "word"):
            raise InputError(f"Text(unit={unit!r}): a text is read by 'character' or by 'word'; give one of them.")
        self.path, self.unit = path, unit
        self.vocabulary, parts = read_corpus(Path(path), unit)
        passages = {name: Passage(jnp.asarray(x), conditional_entropy(x[:-1], x[1:])) for name, x in parts.items()}
        self.passage, self.held = passages.pop("training"), passages

    @property
    def input_size(self) -> int:
        return len(self.vocabulary)

    @property
    def output_size(self) -> int:
        return len(self.vocabulary)

    @property
    def optimum(self) -> float:
        return math.nan

    @property
    def memoryless(self) -> float:
        return self.passage.ambiguity

    def held_out(self, part: Part = "test") -> "Text":
        return eqx.tree_at(lambda task: task.passage, self, self.held[part])

    def begin(self, key: PRNGKeyArray) -> Place:
        del key
        return Place(jnp.zeros((), int), jnp.array(True))

    def sources(self, batch: int, key: PRNGKeyArray) -> Place:
        del key
        if batch > self._last:
            raise InputError(
                f"'{self.path}': {batch} sequences are to be read from a part of {self._last + 1} symbols: give a longer "
                f"text, or batch <= {self._last}."
            )
        return Place(jnp.asarray(np.arange(batch) * self._last // batch, int), jnp.ones(batch, bool))

    def anywhere(self, batch: int, key: PRNGKeyArray) -> Place:
        sources = self.sources(batch, key)
        return sources._replace(position=(sources.position + jax.random.randint(key, (), 0, self._last)) % self._last)

    def emit(self, source: Place) -> tuple[Place, Window]:
        symbol, target = (self.passage.symbols[source.position + ahead].astype(int) for ahead in (0, 1))
        position = (source.position + 1) % self._last
        return Place(position, position == 0), Window(source.first, jax.nn.one_hot(symbol, self.input_size), target)

    def loss(self, output: Float[Array, " symbols"], targets: Int[Array, ""]) -> tuple[Float[Array, ""], dict[str, Tally]]:
        weight = jnp.ones_like(output, shape=())
        loss, metrics = classification(output, targets, weight)
        return loss, metrics | {"bits": Tally(loss / math.log(2), weight)}

    @property
    def _last(self) -> int:
        """The position of the last symbol, which is a target and no input."""
        return len(self.passage.symbols) - 1
