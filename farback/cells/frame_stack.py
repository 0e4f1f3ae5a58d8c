"""The last inputs, concatenated."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from farback.cell import AbstractCell, require_sizes, require_vector
from farback.types import InputError


class FrameStack(AbstractCell):
    """The inputs of the last n steps, the oldest first. Inputs before the episode are zeros:

        y_t = [x_{t−n+1}, …, x_t]

    It has no parameters. Use it for dependencies of fewer than n steps, and before a memory whose update depends only on
    the present input, such as a `DeltaNet` or a linear cell: that memory then receives consecutive inputs together.

    **Arguments:**

    - `input_size`: the number of inputs.
    - `steps`: n, the number of concatenated inputs.

    Reference: Mnih et al., *Human-level control through deep reinforcement learning*, 2015, methods.
    """

    input_size: int = eqx.field(static=True)
    steps: int = eqx.field(static=True, default=2)

    def __check_init__(self):
        require_sizes(input_size=self.input_size)
        if self.steps < 2:
            raise InputError(f"FrameStack(steps={self.steps}): one input needs no stack; give steps >= 2.")

    def initial(self) -> Float[Array, "steps inputs"]:
        return jnp.zeros((self.steps - 1, self.input_size))

    def __call__(
        self, state: Float[Array, "steps inputs"], x: Float[Array, " inputs"]
    ) -> tuple[Float[Array, "steps inputs"], Float[Array, " outputs"]]:
        require_vector(self, x, self.input_size)
        recent = jnp.concatenate([state, x[None]])
        return recent[1:], recent.ravel()
