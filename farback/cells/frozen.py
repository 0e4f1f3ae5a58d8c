"""Parts of a network that do not learn."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from farback.cell import AbstractCell, AbstractUnrolledCell, State, unroll
from farback.network import AbstractEncoder


class Bits(eqx.Module):
    """The bits of an array of floats, as integers: estimators and optimizers do not treat them as parameters."""

    bits: Array
    dtype: str = eqx.field(static=True)

    def __init__(self, x: Array):
        self.dtype = str(x.dtype)
        self.bits = jax.lax.bitcast_convert_type(x, jnp.dtype(f"uint{8 * x.dtype.itemsize}"))

    def floats(self) -> Array:
        """The array."""
        return jax.lax.bitcast_convert_type(self.bits, jnp.dtype(self.dtype))


def freeze(tree: PyTree) -> PyTree:
    """The tree with its arrays of floats as `Bits`. It has no parameters."""
    return jax.tree.map(lambda leaf: Bits(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)


def thaw(tree: PyTree) -> PyTree:
    """The inverse of `freeze`."""
    return jax.tree.map(
        lambda leaf: leaf.floats() if isinstance(leaf, Bits) else leaf, tree, is_leaf=lambda leaf: isinstance(leaf, Bits)
    )


class Frozen(AbstractUnrolledCell):
    """A cell with fixed parameters, for every estimator and optimizer. No gradient passes through it.

    Use it for a pretrained memory before layers that learn. Layers before it do not learn: no gradient reaches them.

    **Arguments:**

    - `cell`: the cell.
    """

    frozen: PyTree

    def __init__(self, cell: AbstractCell):
        self.frozen = freeze(cell)

    @property
    def cell(self) -> AbstractCell:
        """The cell, with its parameters."""
        return thaw(self.frozen)

    def initial(self) -> State:
        return self.cell.initial()

    def __call__(self, state: State, x: Any) -> tuple[State, Any]:
        return jax.lax.stop_gradient(self.cell(state, x))

    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Any, flow: Float[Array, "time batch"]
    ) -> tuple[State, Any]:
        return jax.lax.stop_gradient(unroll(self.cell, state, first, x, flow))


class FrozenEncoder(AbstractEncoder):
    """An encoder with fixed parameters. No gradient passes through it.

    **Arguments:**

    - `encoder`: the encoder.
    """

    frozen: PyTree

    def __init__(self, encoder: Any):
        self.frozen = freeze(encoder)

    def __call__(self, observation: Any) -> Any:
        return jax.lax.stop_gradient(thaw(self.frozen)(observation))
