"""Copy after a fixed delay, with a signal for every answer."""

from jaxtyping import Array, Bool, UInt32

from engram.tasks.copying import AbstractCopy, Place


class SignalledCopy(AbstractCopy):
    """Data are shown, and after a delay wanted back, each at a signal of its own: what is asked is never in doubt.

        input   x₁ … xₗ, T blanks, l signals
        target  T + l blanks, x₁ … xₗ

    A signal tells that a datum is wanted, and which one only a memory. In nats a step, with l = length, T = delay,
    S = symbols:

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

    def signal(self, place: Place, word: UInt32[Array, ""]) -> Bool[Array, ""]:
        del word
        return place.time >= self.length + self.delay

    def answer(self, place: Place, signal: Bool[Array, ""]) -> Bool[Array, ""]:
        del place
        return signal
