"""Arrays in memory-mapped files of the host, which compiled programs read and write in place."""

import math
import os
import tempfile
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.experimental import io_callback
from jaxtyping import Array, Bool, Int, PyTree

from farback.types import InputError

_reserve = getattr(os, "posix_fallocate", lambda file, start, size: os.truncate(file, size))  # macOS has none


class HostShape(jax.ShapeDtypeStruct):
    """The shape and dtype of an array on the host."""

    def empty(self) -> np.ndarray:
        """Returns an array of zeros in a temporary file without a name, which is deleted with the array."""
        size = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        if not size:
            return np.empty(self.shape, self.dtype)
        with tempfile.TemporaryFile() as file:
            try:
                _reserve(file.fileno(), 0, size)
            except OSError as error:
                raise InputError(
                    f"An array of {size:,} bytes does not fit the directory of temporary files, '{tempfile.gettempdir()}': "
                    f"{error.strerror}. Give another one by the environment variable TMPDIR."
                ) from None
            return np.memmap(file, self.dtype, "r+", shape=self.shape)


class HostStore:
    """The arrays on the host that belong to the call of a program that is in progress.

    **Arguments:**

    - `like`: the shapes and dtypes of the arrays of one seed.
    """

    def __init__(self, like: PyTree[jax.ShapeDtypeStruct]):
        self.like = like
        self.arrays: PyTree[np.ndarray] = None

    def shapes(self, seeds: int) -> PyTree[HostShape]:
        """Returns the shapes of the arrays of several seeds."""
        return jax.tree.map(lambda leaf: HostShape((seeds, *leaf.shape), leaf.dtype), self.like)


class HostArrays(eqx.Module):
    """A seed's arrays on the host, as a compiled program sees them. Reads and writes happen in the order of the program.

    - `seed`: the index of the seed.
    - `store`: the store of the arrays.
    """

    seed: Int[Array, ""]
    store: HostStore = eqx.field(static=True)

    def get(self, indices: tuple[Int[Array, "..."], ...], where: Callable[[Any], Any]) -> PyTree[Array]:
        """Returns the values at indices of the leading axes, of the arrays that `where` selects."""
        shape, axes = np.broadcast_shapes(*(index.shape for index in indices)), len(indices)
        results = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((*shape, *leaf.shape[axes:]), leaf.dtype), where(self.store.like)
        )

        def read(*at):
            return jax.tree.map(lambda leaf: leaf[tuple(map(np.asarray, at))], where(self.store.arrays))

        return io_callback(read, results, self.seed, *indices, ordered=True)

    def set(
        self,
        indices: tuple[Int[Array, "..."], ...],
        values: PyTree[Array],
        where: Callable[[Any], Any],
        when: Bool[Array, ""] | bool = True,
    ) -> None:
        """Writes values at indices of the leading axes. Of repeated indices, the last counts; without `when`, none."""

        def write(when, values, *at):
            at = tuple(map(np.asarray, at))
            for leaf, new in zip(jax.tree.leaves(where(self.store.arrays)), jax.tree.leaves(values), strict=True):
                if when:
                    leaf[at] = np.asarray(new)

        io_callback(write, None, when, values, self.seed, *indices, ordered=True)
