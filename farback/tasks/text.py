"""Next-symbol prediction on a text."""

import math
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt

from farback.tasks.base import AbstractTask, classification
from farback.tasks.corpus import read_corpus
from farback.tasks.entropy import conditional_entropy
from farback.types import InputError, Split, Tally, Window


class Passage(eqx.Module):
    """One part of a text.

    - `symbols`: the symbols, as indices into the vocabulary.
    - `ambiguity`: the entropy of a symbol given the one before it, in nats.
    """

    symbols: UInt[Array, " symbols"]
    ambiguity: float


class TextSource(NamedTuple):
    """A position in the text, and whether a sequence begins there."""

    position: Int[Array, ""]
    first: Bool[Array, ""]


class Text(AbstractTask):
    """Next-symbol prediction on a text: the input is the symbol x_t, one-hot, and the target x_{t+1}.

    The loss is the cross-entropy in nats, and its exponential the perplexity. The metric `bits` is the cross-entropy in
    bits.

    A batch of B sequences reads the N symbols of a part at B places at once: sequence b begins at symbol ⌊b (N − 1) / B⌋,
    reads on to the end, and then from the beginning, where `first` resets the memory. Nothing is shuffled, drawn or
    skipped: (N − 1) / B steps read each symbol once, and consecutive windows are consecutive text. Each sequence begins
    with an empty memory, which matters in a short part: score it with a small batch. All seeds have the same data.

    The vocabulary is that of the training part. Other symbols of the held-out parts are `<unk>`, which the training part
    contains only if the text spells it out, as PTB does.

    The optimum is unknown. The best memoryless predictor has the loss H(x_{t+1} | x_t), from the counts of pairs in the
    part itself.

    **Arguments:**

    - `path`: a UTF-8 text, whose first 90 % of symbols are the training part, the next 5 % the validation part and the last
      5 % the test part (for text8 the usual 90, 5 and 5 million characters); or a directory with ptb.train.txt,
      ptb.valid.txt and ptb.test.txt.
    - `unit`: `character` or `word`. Words are separated by white space, and each end of a line is a word. The space at the
      beginning of each line of PTB is dropped: its parts have 5,059 k, 396 k and 446 k characters of 50 kinds, or 929,589,
      73,760 and 82,430 words of 10,000 kinds.

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
            raise InputError(f"Text(unit={unit!r}): a text is read by 'character' or by 'word'; give one of these.")
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

    def split(self, part: Split = "test") -> "Text":
        return eqx.tree_at(lambda task: task.passage, self, self.held[part])

    def begin(self, key: PRNGKeyArray) -> TextSource:
        del key
        return TextSource(jnp.zeros((), int), jnp.array(True))

    def sources(self, batch: int, key: PRNGKeyArray) -> TextSource:
        del key
        if batch > self._last:
            raise InputError(
                f"'{self.path}': {batch} sequences do not fit into a part of {self._last + 1} symbols: give a longer text, "
                f"or batch <= {self._last}."
            )
        return TextSource(jnp.asarray(np.arange(batch) * self._last // batch, int), jnp.ones(batch, bool))

    def anywhere(self, batch: int, key: PRNGKeyArray) -> TextSource:
        sources = self.sources(batch, key)
        return sources._replace(position=(sources.position + jax.random.randint(key, (), 0, self._last)) % self._last)

    def emit(self, source: TextSource) -> tuple[TextSource, Window]:
        symbol, target = (self.passage.symbols[source.position + ahead].astype(int) for ahead in (0, 1))
        position = (source.position + 1) % self._last
        return TextSource(position, position == 0), Window(source.first, jax.nn.one_hot(symbol, self.input_size), target)

    def loss(self, output: Float[Array, " symbols"], targets: Int[Array, ""]) -> tuple[Float[Array, ""], dict[str, Tally]]:
        weight = jnp.ones_like(output, shape=())
        loss, metrics = classification(output, targets, weight)
        return loss, metrics | {"bits": Tally(loss / math.log(2), weight)}

    @property
    def _last(self) -> int:
        """The position of the last symbol, which is a target only."""
        return len(self.passage.symbols) - 1
