"""`DeltaNet` equals its published equations, and `FrameStack` concatenates the last inputs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from farback.cells.delta_net import Access, DeltaNet, step
from farback.cells.frame_stack import FrameStack
from farback.types import InputError

INPUTS, HEADS, KEYS, VALUES = 3, 2, 4, 5


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_delta_net_equations(key):
    cell = DeltaNet(INPUTS, HEADS, KEYS, VALUES, key=key)
    cell = eqx.tree_at(lambda cell: cell.bias, cell, jax.random.normal(key, cell.bias.shape))
    x = np.asarray(jax.random.normal(key, (6, INPUTS)))
    found = jax.lax.scan(lambda state, now: cell(state, now), cell.initial(), jnp.asarray(x))[1]
    address, write, bias = (np.asarray(leaf) for leaf in (cell.address_weight, cell.write_weight, cell.bias))
    tables = np.zeros((HEADS, KEYS, VALUES))

    def unit(a):
        a = a / (1 + np.exp(-a))
        return a / np.sqrt(np.sum(a * a) + 1e-6)

    for x_t, y_t in zip(x, found, strict=True):
        output = []
        for head in range(HEADS):
            keys, values = slice(head * KEYS, (head + 1) * KEYS), slice(head * VALUES, (head + 1) * VALUES)
            k, q = unit(x_t @ address[:, 0, keys]), unit(x_t @ address[:, 1, keys])
            v, rate = x_t @ write[:, 0, values], 1 / (1 + np.exp(-x_t @ write[:, 1, values] - bias[values]))
            tables[head] += np.outer(k, rate * (v - k @ tables[head]))
            output.append(q @ tables[head])
        close(y_t, np.concatenate(output))


def test_delta_net_reads_what_was_last_written_to_a_key(key):
    symbols, values = jax.random.randint(key, (40,), 0, KEYS), jax.random.normal(key, (40, 1, VALUES))
    names = jnp.eye(KEYS)[:, None]
    table, last = jnp.zeros((1, KEYS, VALUES)), np.zeros((KEYS, VALUES))
    for symbol, value in zip(symbols, values, strict=True):
        table, output = step(table, Access(names[symbol], value, jnp.ones((1, VALUES)), names[symbol]))
        last[symbol] = value[0]
        close(output, last[symbol])
    close(table[0], last)


def test_delta_net_keeps_the_values_of_closed_gates(key):
    table = jax.random.normal(key, (1, KEYS, VALUES))
    name = jnp.eye(KEYS)[2:3]
    rate = jnp.ones((1, VALUES)).at[0, 3].set(0.0)
    after, _ = step(table, Access(name, jnp.zeros((1, VALUES)), rate, name))
    close(after, table.at[0, 2].set(0.0).at[0, 2, 3].set(table[0, 2, 3]))


def test_delta_net_has_finite_gradients_at_zero_inputs(key):
    cell = DeltaNet(INPUTS, HEADS, KEYS, VALUES, key=key)
    x = jnp.zeros((3, INPUTS))
    gradient = eqx.filter_grad(
        lambda cell: jnp.sum(jax.lax.scan(lambda state, now: cell(state, now), cell.initial(), x)[1] ** 2)
    )(cell)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient))


def test_frame_stack_has_the_last_inputs_oldest_first():
    cell = FrameStack(2, 3)
    x = jnp.arange(8.0).reshape(4, 2)
    _, seen = jax.lax.scan(lambda state, now: cell(state, now), cell.initial(), x)
    close(seen, [[0, 0, 0, 0, 0, 1], [0, 0, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5], [2, 3, 4, 5, 6, 7]])
    assert FrameStack(6).initial().shape == (1, 6)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda key: FrameStack(INPUTS, 1), "steps"),
        (lambda key: FrameStack(0), "input_size"),
        (lambda key: DeltaNet(INPUTS, heads=0, key=key), "heads"),
        (lambda key: DeltaNet(INPUTS, keys=0, key=key), "keys"),
    ],
)
def test_delta_net_and_frame_stack_refuse_wrong_arguments_by_name(make, name, key):
    with pytest.raises(InputError, match=name):
        make(key)
