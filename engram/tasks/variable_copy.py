"""Copy after a delay that nobody knows before the signal."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, UInt32

from engram.chance import below
from engram.tasks.copying import AbstractCopy, Place


class VariableCopy(AbstractCopy):
    """Data are shown, and wanted back after a signal that comes after a random delay, uniform in {1, …, T}.

        input   x₁ … xₗ, D − 1 blanks, a signal, l blanks, T − D blanks
        target  D + l blanks, x₁ … xₗ, T − D blanks

    This is `Copy` but for the time of the signal, and what is seen and asked at single steps is the same in number: so are
    the levels. In nats a step, with l = length, T = delay, S = symbols, and H of `Copy`:

        optimum    = 0
        blind      = l ln S / (T + 2l)
        memoryless = (H(l, T − 1) + l ln S) / (T + 2l)

    **Arguments:**

    - `delay`: T, the most steps from the last datum to the signal.
    - `symbols`: S, the number of symbols.
    - `length`: l, the number of data.

    Reference: Henaff, Szlam and LeCun, Recurrent orthogonal networks and long-memory tasks, 2016; thesis section 5.3, whose
    words put D blanks before the signal, one more than in its own `Copy` of D; at T = 1000, `blind` is 0.0204.
    """

    delay: int
    symbols: int = 8
    length: int = 10

    @property
    def memoryless(self) -> float:
        return self._unprompted()

    def signal(self, place: Place, word: UInt32[Array, ""]) -> Bool[Array, ""]:
        left = jnp.maximum(self.length + self.delay - place.time, 1)  # places that are left to it, equally likely
        return (place.time >= self.length) & (place.signals == 0) & (below(left, word) == 0)

    def answer(self, place: Place, signal: Bool[Array, ""]) -> Bool[Array, ""]:
        del signal
        return (place.signals > 0) & (place.answers < self.length)
