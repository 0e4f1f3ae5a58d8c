"""Changes of a gradient that leave the value alone."""

from typing import Any

import jax
from jaxtyping import PyTree

from farback.types import Number


def scale_gradient(tree: PyTree, factor: Number) -> Any:
    """The identity, whose gradient is multiplied by a factor."""

    def one(leaf):
        constant = jax.lax.stop_gradient(leaf)
        return constant + factor * (leaf - constant)

    return jax.tree.map(one, tree)
