"""Copy at random times, with a signal per answer."""

from jaxtyping import Array, Bool, UInt32

from farback.ops.random import below
from farback.tasks.copying import AbstractCopy, CopySource


class ScatteredCopy(AbstractCopy):
    """The copy task with answers at random times, each at its own signal.

        input   x₁ … xₗ, then T + l steps: signals at a uniformly random set of l of them, else blanks
        target  xᵢ at the i-th signal, else blanks

    A step is in the set with probability (remaining signals) / (remaining steps): Knuth's selection sampling. In nats per
    step, with l = length, T = delay, S = symbols:

        optimum = 0
        blind   = memoryless = l ln S / (T + 2l)

    **Arguments:**

    - `delay`: T, the number of blanks.
    - `symbols`: S, the number of symbols.
    - `length`: l, the number of data.

    Reference: Sorokin et al., Explain My Surprise, 2022, section 5, which does not state the distribution of the times: the
    uniform one is ours. Knuth, The Art of Computer Programming 2, section 3.4.2, algorithm S.
    """

    delay: int
    symbols: int = 8
    length: int = 10

    @property
    def memoryless(self) -> float:
        return self.blind

    def signal(self, source: CopySource, word: UInt32[Array, ""]) -> Bool[Array, ""]:
        return (source.time >= self.length) & (
            below(self.episode_length - source.time, word) < self.length - source.signals
        )

    def answer(self, source: CopySource, signal: Bool[Array, ""]) -> Bool[Array, ""]:
        del source
        return signal
