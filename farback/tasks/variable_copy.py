"""Copy after a random delay, at a single signal."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, UInt32

from farback.ops.random import below
from farback.tasks.copying import AbstractCopy, CopySource


class VariableCopy(AbstractCopy):
    """`Copy` with a random delay: the signal comes after D steps, D uniform in {1, …, T}.

        input   x₁ … xₗ, D − 1 blanks, a signal, l blanks, T − D blanks
        target  D + l blanks, x₁ … xₗ, T − D blanks

    Only the time of the signal differs from `Copy`. The counts of inputs and targets of each kind are the same, and so
    are the reference losses. In nats per step, with l = length, T = delay, S = symbols, and H of `Copy`:

        optimum    = 0
        blind      = l ln S / (T + 2l)
        memoryless = (H(l, T − 1) + l ln S) / (T + 2l)

    **Arguments:**

    - `delay`: T, the largest number of steps from the last datum to the signal.
    - `symbols`: S, the number of symbols.
    - `length`: l, the number of data.

    Reference: Henaff, Szlam and LeCun, Recurrent orthogonal networks and long-memory tasks, 2016; thesis section 5.3, which
    describes D blanks before the signal, one more than in its `Copy` of D. At T = 1000, `blind` is 0.0204.
    """

    delay: int
    symbols: int = 8
    length: int = 10

    @property
    def memoryless(self) -> float:
        return self._unprompted()

    def signal(self, source: CopySource, word: UInt32[Array, ""]) -> Bool[Array, ""]:
        left = jnp.maximum(self.length + self.delay - source.time, 1)  # the remaining places, which are equally likely
        return (source.time >= self.length) & (source.signals == 0) & (below(left, word) == 0)

    def answer(self, source: CopySource, signal: Bool[Array, ""]) -> Bool[Array, ""]:
        del signal
        return (source.signals > 0) & (source.answers < self.length)
