"""Writes to repeated indices, in a defined order."""

import jax.numpy as jnp
from jaxtyping import Array, Int


def last_of_each(indices: Int[Array, " n"], size: int) -> tuple[Int[Array, " n"], Int[Array, " n"]]:
    """Returns `(order, target)` such that `array.at[target].set(values[order], mode="drop")` writes the last value of each
    index.

    With repeated indices, `array.at[indices].set(values)` leaves open which value remains, and devices differ.

    **Arguments:**

    - `indices`: the indices of the values, from 0 to `size` − 1.
    - `size`: the length of the array.
    """
    order = jnp.argsort(indices, stable=True)
    ordered = indices[order]
    repeated = jnp.append(ordered[:-1] == ordered[1:], False)
    return order, jnp.where(repeated, size + jnp.arange(len(indices)), ordered)
