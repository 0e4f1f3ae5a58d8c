"""Copy after a fixed delay, at a single signal."""

from jaxtyping import Array, Bool, UInt32

from farback.tasks.copying import AbstractCopy, CopySource


class Copy(AbstractCopy):
    """The copy task: the targets are the data, after a fixed delay and a single signal.

        input   x₁ … xₗ, T − 1 blanks, a signal, l blanks
        target  T + l blanks, x₁ … xₗ

    Every step has a loss. In nats per step, with l = length, T = delay, S = symbols, and H(n, m) = n ln((n + m) / n) +
    m ln((n + m) / m), because l of the T + l − 1 blank inputs have a datum as target:

        optimum    = 0
        blind      = l ln S / (T + 2l)
        memoryless = (H(l, T − 1) + l ln S) / (T + 2l)

    **Arguments:**

    - `delay`: T, the number of steps from the last datum to the signal.
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

    def signal(self, source: CopySource, word: UInt32[Array, ""]) -> Bool[Array, ""]:
        del word
        return source.time == self.length + self.delay - 1

    def answer(self, source: CopySource, signal: Bool[Array, ""]) -> Bool[Array, ""]:
        del signal
        return source.signals > 0
