"""A block of steps as one step."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from farback.cell import AbstractCell, AbstractUnrolledCell, State, unroll


class Strided(AbstractUnrolledCell):
    """A cell that runs through all steps of a block in one call.

    Inputs and outputs have a leading axis for the steps of the block. Episodes begin where blocks begin.

    **Arguments:**

    - `cell`: the cell that runs at each step.
    """

    cell: AbstractCell

    def initial(self) -> State:
        return self.cell.initial()

    def __call__(self, state: State, x: Any) -> tuple[State, Any]:
        return jax.lax.scan(lambda state, now: self.cell(state, now), state, x)

    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Any, flow: Float[Array, "time batch"]
    ) -> tuple[State, Any]:
        blocks, size = len(first), jax.tree.leaves(x)[0].shape[2]
        begins = jnp.arange(size) == 0
        steps = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 2, 1).reshape(blocks * size, -1, *leaf.shape[3:]), x)
        first = (first[:, None] & begins[:, None]).reshape(blocks * size, -1)
        flow = jnp.where(begins[:, None], flow[:, None], 1.0).reshape(blocks * size, -1)
        state, outputs = unroll(self.cell, state, first, steps, flow)
        return state, jax.tree.map(lambda leaf: jnp.moveaxis(leaf.reshape(blocks, size, *leaf.shape[1:]), 1, 2), outputs)
