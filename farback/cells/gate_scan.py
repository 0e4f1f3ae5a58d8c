"""A window of a gated cell, forwards and backwards: the fast path of the reverse estimators.

Three things make it fast, for every gated cell (`docs/results/speed.md` has the measurements):

* each group is a separate array `[time, batch, units]`: compilers vectorise separate arrays, but not slices of one array;
* activations overwrite pre-activations, and cotangents overwrite activations, so a window is stored once;
* computations that are not recurrent are outside the loops: the input projection, and the gradient of each weight, which
  is one product over time and batch, computed in blocks that fit into the cache.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.lax import dynamic_index_in_dim, dynamic_update_index_in_dim, fori_loop
from jaxtyping import Array, Bool, Float

from farback.cell import State

BLOCK = 1024  # the number of rows of one block of a product over time and batch

# Each nonlinearity, and a function from (its value, the cotangent of its value) to the cotangent of its argument.
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
    """W x + b of a window, one array per group."""
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
    """Σ left ⊗ right over time and batch, per group."""
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

    - `kind`: the class of the cell, with its groups and how they combine.
    - `weight`: U, for the groups that depend on the state.
    - `z`: W x + b, for each group that depends on the input.
    - `bias`: b, for each other group.
    - `state`, `initial`: the states before the window, and the states of a reset.
    - `first`, `flow`: as in `farback.cell.unroll`.

    **Returns:** (state, h): the last state, and h of each step.
    """
    return _gate_scan_fwd(kind, weight, z, bias, state, initial, first, flow)[0]


def _gate_scan_fwd(kind, weight, z, bias, state, initial, first, flow):
    like = jnp.zeros_like(first, z[0].dtype, (*first.shape, weight.shape[-1]))
    inputs, offsets = iter(z), iter(bias)
    rows = [next(inputs) if group.uses_input else like for group in kind.groups]
    offset = [None if group.uses_input else next(offsets) for group in kind.groups]
    matrix = weight.reshape(len(weight), -1)

    def step(t, running):
        rows, before, h, state = running
        state = _where(_at(first, t), initial, state)
        before = _put(before, state, t)
        fed_back = iter(jnp.split(kind.hidden(state) @ matrix, weight.shape[1], axis=1))
        y = []
        for group, row, b in zip(kind.groups, rows, offset, strict=True):
            a = _at(row, t) if b is None else jnp.broadcast_to(b, like.shape[1:])
            a = a + next(fed_back) if group.uses_state else a
            y.append(ACTIVATIONS[group.activation][0](a))
        state = kind.combine(state, tuple(y))
        rows = [
            row if group.uses_input and not group.uses_state and group.activation == "identity" else _put(row, new, t)
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
    seeing = [i for i, group in enumerate(kind.groups) if group.uses_state]
    passed = jnp.where(first, jnp.zeros_like(flow), flow)

    def step(i, running):
        rows, d_a, d_state, d_initial = running
        t = steps - 1 - i
        rows = _put(rows, d_a, t + 1)  # before row t is read: otherwise each step copies the window
        y, old = tuple(_at(row, t) for row in rows), jax.tree.map(lambda leaf: _at(leaf, t), before)
        (d_hidden,) = jax.vjp(kind.hidden, d_state)[1](_at(d_h, t))
        d_old, d_y = jax.vjp(kind.combine, old, y)[1](jax.tree.map(jnp.add, d_state, d_hidden))
        d_a = [ACTIVATIONS[group.activation][1](v, d) for group, d, v in zip(kind.groups, d_y, y, strict=True)]
        (d_fed_back,) = jax.vjp(kind.hidden, old)[1](jnp.concatenate([d_a[i] for i in seeing], axis=1) @ back)
        d_old = jax.tree.map(jnp.add, d_old, d_fed_back)
        d_initial = jax.tree.map(jnp.add, d_initial, _where(_at(first, t), d_old, jax.tree.map(jnp.zeros_like, d_old)))
        return rows, d_a, jax.tree.map(lambda d: _at(passed, t)[:, None].astype(d.dtype) * d, d_old), d_initial

    zero = jax.tree.map(jnp.zeros_like, d_state)
    running = (rows, [row[-1] for row in rows], d_state, zero)  # the first write, past the end, changes nothing
    rows, d_a, d_state, d_initial = fori_loop(0, steps, step, running)
    rows = _put(rows, d_a, 0)
    d_weight = product_over_time(kind.hidden(before), tuple(rows[i] for i in seeing))
    d_z = tuple(row for group, row in zip(kind.groups, rows, strict=True) if group.uses_input)
    d_bias = tuple(jnp.sum(row, (0, 1)) for group, row in zip(kind.groups, rows, strict=True) if not group.uses_input)
    return d_weight, d_z, d_bias, d_state, d_initial, None, jnp.zeros_like(flow)


gate_scan.defvjp(_gate_scan_fwd, _gate_scan_bwd)


def _at(leaf, t):
    return dynamic_index_in_dim(leaf, t, keepdims=False)


def _put(leaves, values, t):
    """Writes a step into windows. A write past the end goes to the last step."""
    return jax.tree.map(lambda leaf, value: dynamic_update_index_in_dim(leaf, value, t, 0), leaves, values)


def _where(first, fresh, old):
    return jax.tree.map(lambda fresh, old: jnp.where(first[:, None], fresh, old), fresh, old)
