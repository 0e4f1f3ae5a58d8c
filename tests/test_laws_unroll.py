"""`unroll` equals stepping: in value and in gradient, with resets and with any credit factor."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from tables import CELLS, FROZEN, INPUTS, MEMORYLESS, STACKS, flat, random_window
from tiers import slow_except

from farback.cell import pass_credit, reset, unroll
from farback.cells import linear, relative_attention

MODELS = CELLS | STACKS | FROZEN
QUICK = ("GRU", "LRU", "DeltaNet", "GRU-LSTM")


def by_steps(cell, state, first, x, flow):
    """The definition that every `unroll` equals."""

    def one(state, first, x, flow):
        return cell(reset(cell, pass_credit(state, flow), first), x)

    return jax.lax.scan(lambda state, now: jax.vmap(one)(state, *now), state, (first, x, flow))


def setting(name, key, steps=7, batch=3):
    keys = jax.random.split(key, 4)
    cell = (MODELS | MEMORYLESS)[name](key)
    first = jax.random.bernoulli(keys[0], 0.2, (steps, batch))
    x = jax.random.normal(keys[1], (steps, batch, INPUTS))
    flow = jax.random.uniform(keys[2], (steps, batch)) * 2
    state = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), cell.initial())
    state = jax.tree.map(lambda leaf: leaf + jax.random.uniform(keys[3], leaf.shape, minval=0.5), state)
    return cell, state, first, x, flow


@pytest.mark.parametrize("name", slow_except(QUICK, [*MODELS, *MEMORYLESS]))
def test_unroll_is_stepping(name, key):
    cell, state, first, x, flow = setting(name, key)

    def value_and_gradient(run):
        def loss(arguments):
            cell, state, x = arguments
            last, output = run(cell, state, first, x, flow)
            weights = jnp.cos(jnp.arange(output.size, dtype=float)).reshape(output.shape)
            return jnp.sum(weights * output) + sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(last))

        return eqx.filter_jit(eqx.filter_value_and_grad(loss))((cell, state, x))

    (value, gradient), (expected, reference) = value_and_gradient(unroll), value_and_gradient(by_steps)
    assert jnp.allclose(value, expected, rtol=1e-10)
    for leaf, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(reference), strict=True):
        assert jnp.allclose(leaf, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", slow_except(QUICK, MODELS))
def test_reset_is_a_fresh_start(name, key):
    cell, state, _, x, flow = setting(name, key)
    first = jnp.zeros(x.shape[:2], bool).at[3].set(True)
    fresh = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (3, *leaf.shape)), cell.initial())
    _, flagged = unroll(cell, state, first, x, flow)
    _, apart = unroll(cell, fresh, jnp.zeros_like(first[3:]), x[3:], flow[3:])
    assert jnp.allclose(flagged[3:], apart, rtol=1e-12)
    _, unflagged = unroll(cell, state, jnp.zeros_like(first), x, flow)
    assert not jnp.allclose(unflagged[3:], apart, rtol=1e-6)


FLOWS = (*QUICK, "MinGRU", "SRNN", "AMRL", "GTrXL", "WeightNorm", "FrameStack-DeltaNet", "SkipConcat", "Parallel")
"""A cell that is unrolled step by step, and those that unroll a window in a way of their own."""


@pytest.mark.parametrize("name", slow_except(QUICK, FLOWS))
def test_zero_flow_stops_credit(name, key):
    cell, state, _, x, flow = setting(name, key)

    def late(x, flow):
        _, output = unroll(cell, state, jnp.zeros(x.shape[:2], bool), x, flow)
        return jnp.sum(output[4:] ** 2)

    assert not jnp.any(jax.grad(late)(x, flow.at[4].set(0.0))[:4])
    assert jnp.any(jax.grad(late)(x, jnp.ones_like(flow))[:4])


@pytest.mark.parametrize("name", MODELS)
def test_states_are_floats(name, key):
    state = MODELS[name](key).initial()
    assert all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(state))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MinGRU", "LRU", "RTU"])
def test_parallel_scan_unroll_is_stepping(name, key, monkeypatch):
    """Linear cells scan in parallel on accelerators, and step on CPUs; here they scan."""
    monkeypatch.setattr(linear, "_solve", lambda a, b, reverse=False: linear.in_parallel(a, b, reverse=reverse))
    test_unroll_is_stepping(name, key)


@pytest.mark.slow
def test_attention_in_chunks_unroll_is_stepping(key, monkeypatch):
    """The window does not fill the last chunk."""
    monkeypatch.setattr(relative_attention, "CHUNK", 3)
    test_unroll_is_stepping("GTrXL", key)


def test_random_window_begins_episodes_as_the_laws_assume(key):
    for steps in (6, 8):
        assert random_window(key, steps=steps).first[:, 0].all()
        assert random_window(key, steps=steps).first[:, 1:].any(axis=1).all()
        assert not random_window(key, steps=steps, resets=False).first[:, 1:].any()
    assert flat(random_window(key).inputs).size == 2 * 6 * INPUTS
