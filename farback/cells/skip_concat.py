"""A skip connection around a memory."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from farback.cell import AbstractCell, AbstractCompositeCell, State, unroll


class SkipConcat(AbstractCompositeCell):
    """The input, followed by the output of a memory: [x, memory(x)].

    **Arguments:**

    - `memory`: a cell.
    - `stop_gradient`: whether the gradient of the layers after it stops before the memory. The memory then learns from
      another loss, as in `MemUPAgent`, or does not learn.
    - `skipped`: n, the inputs that are passed on while the memory reads the others: [x_1 … x_n, memory(x_{n+1} …)]. By
      default, all are passed on and read.
    """

    memory: AbstractCell
    stop_gradient: bool = True
    skipped: int | None = None

    def initial(self) -> State:
        return (self.memory.initial(),)

    @property
    def parts(self) -> tuple[AbstractCell, ...]:
        return (self.memory,)

    def inputs(self, state: State, x: Float[Array, " inputs"]) -> tuple[Float[Array, " inputs"]]:
        return (self._read(x),)

    def __call__(self, state: State, x: Float[Array, " inputs"]) -> tuple[State, Float[Array, " outputs"]]:
        memory, remembered = self.memory(state[0], self._read(x))
        return (memory,), self._concatenate(x, remembered)

    def unroll(
        self,
        state: State,
        first: Bool[Array, "time batch"],
        x: Float[Array, "time batch inputs"],
        flow: Float[Array, "time batch"],
    ) -> tuple[State, Float[Array, "time batch outputs"]]:
        memory, remembered = unroll(self.memory, state[0], first, self._read(x), flow)
        return (memory,), self._concatenate(x, remembered)

    def _read(self, x):
        return x if self.skipped is None else x[..., self.skipped :]

    def _concatenate(self, x, remembered):
        return jnp.concatenate(
            [x[..., : self.skipped], jax.lax.stop_gradient(remembered) if self.stop_gradient else remembered], axis=-1
        )
