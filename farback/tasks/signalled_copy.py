"""Copy after a fixed delay, with a signal per answer."""

from jaxtyping import Array, Bool, UInt32

from farback.tasks.copying import AbstractCopy, CopySource


class SignalledCopy(AbstractCopy):
    """The copy task with a signal per answer: the signal gives the time of an answer, and its symbol needs memory.

        input   x₁ … xₗ, T blanks, l signals
        target  T + l blanks, x₁ … xₗ

    In nats per step, with l = length, T = delay, S = symbols:

        optimum = 0
        blind   = memoryless = l ln S / (T + 2l)

    **Arguments:**

    - `delay`: T, the number of blanks.
    - `symbols`: S, the number of symbols.
    - `length`: l, the number of data.

    Reference: Sorokin et al., Explain My Surprise, 2022, section 5, where T + 2l is 120, 520, 1020 and 5020.
    """

    delay: int
    symbols: int = 8
    length: int = 10

    @property
    def memoryless(self) -> float:
        return self.blind

    def signal(self, source: CopySource, word: UInt32[Array, ""]) -> Bool[Array, ""]:
        del word
        return source.time >= self.length + self.delay

    def answer(self, source: CopySource, signal: Bool[Array, ""]) -> Bool[Array, ""]:
        del source
        return signal
