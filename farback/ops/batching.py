"""Computations on all rows of nested `jax.vmap`s at once."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr
from jaxtyping import Array, Bool, PyTree

CHUNKS = 16
"""`compute_where` computes this fraction of the rows at a time."""
CHEAP = 256
"""`compute_where` computes a function for every row if it handles at most this many numbers: selecting rows would cost
as much."""


def batched(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that is called once for all rows, however `jax.vmap` is nested around it.

    **Arguments:**

    - `function`: takes arrays with one leading axis, whose rows are independent of each other.
    """

    @jax.custom_batching.custom_vmap
    def joint(*rows):
        return function(*rows)

    @joint.def_vmap
    def _(size, mapped, *rows):
        found = joint(*jax.tree.map(lambda leaf, is_mapped: _merge(size, leaf, is_mapped), rows, tuple(mapped)))
        return _split(size, found)

    return joint


def compute_where(needed: Bool[Array, ""], function: Callable[[], PyTree], otherwise: PyTree) -> PyTree:
    """Returns `function()` where `needed`, and `otherwise` elsewhere.

    Under `jax.vmap`, however it is nested, `function` is computed for the rows that need it, a sixteenth of all rows at a
    time until none is left; `jax.lax.cond` would compute every row. A cheap function is computed for every row.
    Reverse-mode differentiation is not supported.

    **Arguments:**

    - `needed`: whether this row needs `function`.
    - `function`: has no arguments, and may close over any array. Its result has the shapes and dtypes of
      `otherwise`.
    - `otherwise`: the result where `function` is not needed.
    """
    converted: Any = eqx.filter_closure_convert(function)
    if _numbers(converted.jaxpr) <= CHEAP:
        return jax.tree.map(lambda new, old: jnp.where(needed, new, old), function(), otherwise)
    arrays, static = eqx.partition(converted, eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays)

    def call(leaves):
        return eqx.combine(jax.tree.unflatten(structure, leaves), static)()

    needed, otherwise = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], (needed, otherwise))
    found = _compute_rows(call, [False] * len(leaves))(needed, leaves, otherwise)
    return jax.tree.map(lambda leaf: leaf[0], found)


def _compute_rows(call: Callable[[list[Any]], PyTree], by_row: Sequence[bool]) -> Callable[..., PyTree]:
    """`compute_where` of many rows, of `(needed, leaves, otherwise)`. Leaf i has a leading axis of rows if `by_row[i]`."""

    @jax.custom_batching.custom_vmap
    def rows(needed, leaves, otherwise):
        count = needed.size
        few = max(1, count // CHUNKS)

        def some(carried):
            left, found = carried
            which = jnp.nonzero(left, size=few, fill_value=count)[0]
            theirs = [leaf.at[which].get(mode="clip") if row else leaf for leaf, row in zip(leaves, by_row, strict=True)]
            new = jax.vmap(call, in_axes=([0 if row else None for row in by_row],), axis_size=few)(theirs)
            found = jax.tree.map(lambda leaf, new: leaf.at[which].set(new, mode="drop"), found, new)
            return left.at[which].set(False, mode="drop"), found

        return jax.lax.while_loop(lambda carried: carried[0].any(), some, (needed, otherwise))[1]

    @rows.def_vmap
    def _(size, mapped, needed, leaves, otherwise):
        def joined(leaf, is_mapped, row):
            if row:
                return _merge(size, leaf, is_mapped)
            return jnp.repeat(leaf, needed.shape[-1], axis=0) if is_mapped else leaf

        leaves = [joined(*each) for each in zip(leaves, mapped[1], by_row, strict=True)]
        needed, otherwise = jax.tree.map(
            lambda leaf, is_mapped: _merge(size, leaf, is_mapped), (needed, otherwise), (mapped[0], mapped[2])
        )
        over = [row or is_mapped for row, is_mapped in zip(by_row, mapped[1], strict=True)]
        return _split(size, _compute_rows(call, over)(needed, leaves, otherwise))

    return rows


def _merge(size: int, leaf: Array, is_mapped: bool) -> Array:
    """An array `[size, rows, ...]`, or `[rows, ...]` if it is not mapped, as `[size * rows, ...]`."""
    leaf = leaf if is_mapped else jnp.broadcast_to(leaf, (size, *leaf.shape))
    return leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])


def _split(size: int, found: PyTree) -> tuple[PyTree, PyTree]:
    """The result of a batching rule: `[size * rows, ...]` as `[size, rows, ...]`, and that every leaf is mapped."""
    found = jax.tree.map(lambda leaf: leaf.reshape(size, leaf.shape[0] // size, *leaf.shape[1:]), found)
    return found, jax.tree.map(lambda leaf: True, found)


def _numbers(jaxpr: Any) -> float:
    """The count of numbers that a program reads and writes: infinite with loops, branches or callbacks."""
    total = 0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if equation.effects or name in ("while", "scan", "cond", "pure_callback"):
            return math.inf
        inner = [one for one in equation.params.values() if isinstance(one, ClosedJaxpr | Jaxpr)]
        sizes = sum(getattr(one.aval, "size", 1) for one in (*equation.invars, *equation.outvars))
        rounds = 100 if name in ("random_bits", "random_split", "random_fold_in", "threefry2x32") else 1
        total += sum(map(_numbers, inner)) if inner else rounds * sizes
    return total
