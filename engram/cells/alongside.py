"""What is seen, and beside it what a memory holds."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from engram.cell import AbstractCell, AbstractCompositeCell, State, unroll


class Alongside(AbstractCompositeCell):
    """Puts out its input, and after it what a memory puts out of it.

    **Arguments:**

    - `memory`: a cell.
    - `learns`: whether credit comes to the memory from those who read it. If not, it learns from something else, as in
      `Alternating`, or stays as it is.
    """

    memory: AbstractCell
    learns: bool = False

    def initial(self) -> State:
        return (self.memory.initial(),)

    @property
    def parts(self) -> tuple[AbstractCell, ...]:
        return (self.memory,)

    def inputs(self, state: State, x: Float[Array, " inputs"]) -> tuple[Float[Array, " inputs"]]:
        return (x,)

    def __call__(self, state: State, x: Float[Array, " inputs"]) -> tuple[State, Float[Array, " outputs"]]:
        memory, remembered = self.memory(state[0], x)
        return (memory,), self._beside(x, remembered)

    def unroll(
        self,
        state: State,
        first: Bool[Array, "time batch"],
        x: Float[Array, "time batch inputs"],
        flow: Float[Array, "time batch"],
    ) -> tuple[State, Float[Array, "time batch outputs"]]:
        memory, remembered = unroll(self.memory, state[0], first, x, flow)
        return (memory,), self._beside(x, remembered)

    def _beside(self, x, remembered):
        return jnp.concatenate([x, remembered if self.learns else jax.lax.stop_gradient(remembered)], axis=-1)
