"""The window of a gated cell, forwards and backwards: the fast path of training by reverse estimators.

What it does for speed, none of which depends on the cell (the measurements are in `docs/results/speed.md`):

* each group is an array `[time, batch, units]` of its own, as compilers vectorise separate arrays and not slices of one;
* pre-activations are overwritten by activations, and these by their cotangents, so a window is stored once;
* what is not recurrent is outside the loops: the input projection, and each weight's gradient, which is one product over
  time and batch, taken in blocks that fit the cache.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.lax import dynamic_index_in_dim, dynamic_update_index_in_dim, fori_loop
from jaxtyping import Array, Bool, Float

from engram.cell import State

BLOCK = 1024  # rows of a product over time and batch that are taken at once

# Each nonlinearity, and the credit of its argument from its value and the credit of that.
ACTIVATIONS = {
    "sigmoid": (lambda a: 0.5 * jnp.tanh(0.5 * a) + 0.5, lambda y, d: (y - y * y) * d),
    "tanh": (jnp.tanh, lambda y, d: (1 - y * y) * d),
    "identity": (lambda a: a, lambda y, d: d),
}

Groups = tuple[Float[Array, "time batch units"], ...]


@jax.custom_vjp
def project(
    x: Float[Array, "time batch inputs"], weight: Float[Array, "inputs groups units"], bias: Float[Array, "groups units"]
) -> Groups:
    """W x + b of a window, an array for each group."""
    return tuple(x @ weight[:, group] + bias[group] for group in range(weight.shape[1]))


def _project_fwd(x, weight, bias):
    return project(x, weight, bias), (x, weight)


def _project_bwd(saved, credit):
    x, weight = saved
    gradient = product_over_time(jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1), credit)
    back = sum(c @ weight[:, group].T for group, c in enumerate(credit))
    return back, gradient[:-1], gradient[-1]


project.defvjp(_project_fwd, _project_bwd)


def product_over_time(left: Float[Array, "time batch rows"], right: Groups) -> Float[Array, "rows groups units"]:
    """Σ left ⊗ right over time and batch, for each group."""
    steps, batch, rows = left.shape
    size = max(1, min(steps, BLOCK // batch))

    def block(start, size):
        def cut(leaf):
            return jax.lax.dynamic_slice_in_dim(leaf, start, size).reshape(size * batch, -1)

        return cut(left).T @ jnp.concatenate([cut(leaf) for leaf in right], axis=1)

    zero = jnp.zeros((rows, sum(leaf.shape[-1] for leaf in right)), left.dtype)
    total = fori_loop(0, steps // size, lambda i, total: total + block(i * size, size), zero)
    if steps % size:
        total = total + block(steps - steps % size, steps % size)
    return total.reshape(rows, len(right), -1)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def gate_scan(
    kind: type,
    weight: Float[Array, "units state_groups units"],
    z: Groups,
    bias: tuple[Float[Array, " units"], ...],
    state: State,
    initial: State,
    first: Bool[Array, "time batch"],
    flow: Float[Array, "time batch"],
) -> tuple[State, Float[Array, "time batch units"]]:
    """Runs a gated cell over a window.

    **Arguments:**

    - `kind`: the class of the cell: its groups, and how they combine.
    - `weight`: U, for the groups that see the state.
    - `z`, `bias`: W x + b for each group that sees the input; b for each other.
    - `state`, `initial`: the states before the window, and what they are reset to.
    - `first`, `flow`: as in `engram.cell.unroll`.

    **Returns:** the last state, and h.
    """
    return _gate_scan_fwd(kind, weight, z, bias, state, initial, first, flow)[0]


def _gate_scan_fwd(kind, weight, z, bias, state, initial, first, flow):
    like = jnp.zeros_like(first, z[0].dtype, (*first.shape, weight.shape[-1]))
    inputs, offsets = iter(z), iter(bias)
    rows = [next(inputs) if group.sees_input else like for group in kind.groups]
    offset = [None if group.sees_input else next(offsets) for group in kind.groups]
    matrix = weight.reshape(len(weight), -1)

    def step(t, running):
        rows, before, h, state = running
        state = _where(_at(first, t), initial, state)
        before = _put(before, state, t)
        fed_back = iter(jnp.split(kind.hidden(state) @ matrix, weight.shape[1], axis=1))
        y = []
        for group, row, b in zip(kind.groups, rows, offset, strict=True):
            a = _at(row, t) if b is None else jnp.broadcast_to(b, like.shape[1:])
            a = a + next(fed_back) if group.sees_state else a
            y.append(ACTIVATIONS[group.activation][0](a))
        state = kind.combine(state, tuple(y))
        rows = [
            row if group.sees_input and not group.sees_state and group.activation == "identity" else _put(row, new, t)
            for group, row, new in zip(kind.groups, rows, y, strict=True)
        ]
        return rows, before, _put(h, kind.hidden(state), t), state

    before = jax.tree.map(lambda leaf: jnp.zeros((len(first), *leaf.shape), leaf.dtype), state)
    rows, before, h, state = fori_loop(0, len(first), step, (rows, before, like, state))
    return (state, h), (matrix, rows, before, first, flow)


def _gate_scan_bwd(kind, saved, credit):
    matrix, rows, before, first, flow = saved
    d_state, d_h = credit
    back, steps = matrix.T, len(first)
    seeing = [i for i, group in enumerate(kind.groups) if group.sees_state]
    passed = jnp.where(first, jnp.zeros_like(flow), flow)

    def step(i, running):
        rows, d_a, d_state, d_initial = running
        t = steps - 1 - i
        rows = _put(rows, d_a, t + 1)  # before row t is read: the other way round, each step copies the window
        y, old = tuple(_at(row, t) for row in rows), jax.tree.map(lambda leaf: _at(leaf, t), before)
        (d_hidden,) = jax.vjp(kind.hidden, d_state)[1](_at(d_h, t))
        d_old, d_y = jax.vjp(kind.combine, old, y)[1](jax.tree.map(jnp.add, d_state, d_hidden))
        d_a = [ACTIVATIONS[group.activation][1](v, d) for group, d, v in zip(kind.groups, d_y, y, strict=True)]
        (d_fed_back,) = jax.vjp(kind.hidden, old)[1](jnp.concatenate([d_a[i] for i in seeing], axis=1) @ back)
        d_old = jax.tree.map(jnp.add, d_old, d_fed_back)
        d_initial = jax.tree.map(jnp.add, d_initial, _where(_at(first, t), d_old, jax.tree.map(jnp.zeros_like, d_old)))
        return rows, d_a, jax.tree.map(lambda d: _at(passed, t)[:, None].astype(d.dtype) * d, d_old), d_initial

    zero = jax.tree.map(jnp.zeros_like, d_state)
    running = (rows, [row[-1] for row in rows], d_state, zero)  # the first write, past the end, puts back what is there
    rows, d_a, d_state, d_initial = fori_loop(0, steps, step, running)
    rows = _put(rows, d_a, 0)
    d_weight = product_over_time(kind.hidden(before), tuple(rows[i] for i in seeing))
    d_z = tuple(row for group, row in zip(kind.groups, rows, strict=True) if group.sees_input)
    d_bias = tuple(jnp.sum(row, (0, 1)) for group, row in zip(kind.groups, rows, strict=True) if not group.sees_input)
    return d_weight, d_z, d_bias, d_state, d_initial, None, jnp.zeros_like(flow)


gate_scan.defvjp(_gate_scan_fwd, _gate_scan_bwd)


def _at(leaf, t):
    return dynamic_index_in_dim(leaf, t, keepdims=False)


def _put(leaves, values, t):
    """Writes a step into windows; past the end, it writes to the last step."""
    return jax.tree.map(lambda leaf, value: dynamic_update_index_in_dim(leaf, value, t, 0), leaves, values)


def _where(first, fresh, old):
    return jax.tree.map(lambda fresh, old: jnp.where(first[:, None], fresh, old), fresh, old)
