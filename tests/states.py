"""States of algorithms as NumPy arrays."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np


def _is_key(leaf):
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def arrays(state) -> list[np.ndarray]:
    """All arrays of a state, with keys as integers."""
    leaves = jax.tree.leaves(eqx.filter(state, eqx.is_array))
    assert leaves
    return [np.array(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for leaf in leaves]


def restored(state):
    """A state after a round trip through NumPy arrays."""
    dynamic, static = eqx.partition(state, eqx.is_array)
    leaves, structure = jax.tree.flatten(dynamic)
    pairs = zip(leaves, arrays(state), strict=True)
    read = [jax.random.wrap_key_data(jnp.asarray(one)) if _is_key(leaf) else jnp.asarray(one) for leaf, one in pairs]
    return eqx.combine(jax.tree.unflatten(structure, read), static)


def identical(one, other) -> bool:
    """Whether two states are equal bit for bit."""
    pairs = list(zip(arrays(one), arrays(other), strict=True))
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)
