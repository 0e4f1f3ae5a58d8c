"""Work that is done for all that `jax.vmap` maps over at once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def together(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays with one leading axis, whose rows are each for themselves; however `jax.vmap` is nested around
    it, it is called once, with all rows along that axis.
    """

    @jax.custom_batching.custom_vmap
    def joint(*rows):
        return function(*rows)

    @joint.def_vmap
    def _(size, batched, *rows):
        def joined(leaf, of):
            leaf = leaf if of else jnp.broadcast_to(leaf, (size, *leaf.shape))
            return leaf.reshape(-1, *leaf.shape[2:])

        found = joint(*jax.tree.map(joined, rows, tuple(batched)))
        found = jax.tree.map(lambda leaf: leaf.reshape(size, -1, *leaf.shape[1:]), found)
        return found, jax.tree.map(lambda leaf: True, found)

    return joint
