"""The last few inputs, side by side."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from engram.cell import AbstractCell, require_sizes, require_vector
from engram.types import InputError


class Recent(AbstractCell):
    """Puts out the inputs of the last n steps, the oldest first; before an episode there are zeros:

        y_t = [x_{t−n+1}, …, x_t]

    Frames stacked: all that short dependencies need, and nothing to learn. In front of a memory whose step sees the input
    alone, such as a `DeltaNet` or a linear cell, it shows what led to what.

    **Arguments:**

    - `input_size`: the number of inputs.
    - `steps`: n.

    Reference: Mnih et al., *Human-level control through deep reinforcement learning*, 2015, methods.
    """

    input_size: int = eqx.field(static=True)
    steps: int = eqx.field(static=True, default=2)

    def __check_init__(self):
        require_sizes(input_size=self.input_size)
        if self.steps < 2:
            raise InputError(f"Recent(steps={self.steps}): the last of the inputs is seen without it; give steps >= 2.")

    def initial(self) -> Float[Array, "steps inputs"]:
        return jnp.zeros((self.steps - 1, self.input_size))

    def __call__(
        self, state: Float[Array, "steps inputs"], x: Float[Array, " inputs"]
    ) -> tuple[Float[Array, "steps inputs"], Float[Array, " outputs"]]:
        require_vector(self, x, self.input_size)
        recent = jnp.concatenate([state, x[None]])
        return recent[1:], recent.ravel()
