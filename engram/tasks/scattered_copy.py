"""Copy at random times, with a signal for every answer."""

from jaxtyping import Array, Bool, UInt32

from engram.chance import below
from engram.tasks.copying import AbstractCopy, Place


class ScatteredCopy(AbstractCopy):
    """Data are shown, and wanted back in their order at random times, each at a signal of its own.

        input   x₁ … xₗ, then T + l steps: signals at a random set of l among them, all sets being as likely, else blanks
        target  xᵢ at the i-th signal, else blanks

    A step is in the set with probability (signals to come) / (steps to come): Knuth's selection sampling. In nats a step,
    with l = length, T = delay, S = symbols:

        optimum = 0
        blind   = memoryless = l ln S / (T + 2l)

    **Arguments:**

    - `delay`: T, the number of blanks.
    - `symbols`: S, the number of symbols.
    - `length`: l, the number of data.

    Reference: Sorokin et al., Explain My Surprise, 2022, section 5, which says that the places are random, and no more: the
    law above is ours. Knuth, The Art of Computer Programming 2, section 3.4.2, algorithm S.
    """

    delay: int
    symbols: int = 8
    length: int = 10

    @property
    def memoryless(self) -> float:
        return self.blind

    def signal(self, place: Place, word: UInt32[Array, ""]) -> Bool[Array, ""]:
        return (place.time >= self.length) & (below(self.steps - place.time, word) < self.length - place.signals)

    def answer(self, place: Place, signal: Bool[Array, ""]) -> Bool[Array, ""]:
        del place
        return signal
