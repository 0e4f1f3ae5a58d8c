"""Copy after a fixed delay, on a single signal."""

from jaxtyping import Array, Bool, UInt32

from engram.tasks.copying import AbstractCopy, Place


class Copy(AbstractCopy):
    """Data are shown, and after a delay wanted back: the copy task with a single signal.

        input   x₁ … xₗ, T − 1 blanks, a signal, l blanks
        target  T + l blanks, x₁ … xₗ

    Every step is charged. In nats a step, with l = length, T = delay, S = symbols, and H(n, m) = n ln((n + m) / n) +
    m ln((n + m) / m), since a blank input asks for a datum l times of T + l − 1:

        optimum    = 0
        blind      = l ln S / (T + 2l)
        memoryless = (H(l, T − 1) + l ln S) / (T + 2l)

    **Arguments:**

    - `delay`: T, the steps from the last datum to the signal.
    - `symbols`: S, the number of symbols.
    - `length`: l, the number of data.

    Reference: Hochreiter and Schmidhuber, Long short-term memory, 1997; Arjovsky, Shah and Bengio, Unitary evolution
    recurrent neural networks, 2016, where `blind` is called memoryless; thesis section 5.3, where it is 0.0400 for T = 500
    and 0.0103 for T = 2000.
    """

    delay: int
    symbols: int = 8
    length: int = 10

    @property
    def memoryless(self) -> float:
        return self._unprompted()

    def signal(self, place: Place, word: UInt32[Array, ""]) -> Bool[Array, ""]:
        del word
        return place.time == self.length + self.delay - 1

    def answer(self, place: Place, signal: Bool[Array, ""]) -> Bool[Array, ""]:
        del signal
        return place.signals > 0
