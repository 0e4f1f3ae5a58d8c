"""Forward estimators behind an encoder: exact with `exact_encoder`; without it, one step of credit and a small trace."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box
from tables import (
    CELLS,
    INPUTS,
    OUTPUTS,
    UNITS,
    distances,
    flat,
    gradient_over,
    model_of,
    pieces,
    random_window,
    squared_error,
)

from farback import InputError, Network, NetworkStep, Window, diagnose
from farback.cells import GRU, LRU, Chain, FrozenEncoder
from farback.encoders import MLP, Conv
from farback.estimators import BPTT, KFRTRL, RTRL, TBPTT, UORO, Sharded, SnAp
from farback.estimators.rtrl import is_diagonal

pytestmark = pytest.mark.slow

STEP = NetworkStep(squared_error)
IMAGES = Box(0, 255, (6, 6), np.uint8)


def behind(encoder, cell, key, resets=True, steps=6):
    """A network of an encoder, a cell and a linear head, and a window of observations."""
    network, window = model_of(CELLS[cell], key), random_window(key, resets=resets, steps=steps)
    if encoder == "MLP":
        return dataclasses.replace(network, encoder=MLP(Box(-np.inf, np.inf, (INPUTS,)), INPUTS, key=key)), window
    made = Conv(IMAGES, channels=(3,), kernel=3, stride=3, features=INPUTS, key=jax.random.fold_in(key, 5))
    images = jax.random.randint(key, (*window.first.shape, 6, 6), 0, 256).astype(jnp.uint8)
    return dataclasses.replace(network, encoder=made), Window(window.first, images, window.targets)


def parts(network):
    return network.encoder, (network.memory, network.head)


def distance(gradient, exact):
    return max(distances(gradient, exact).values())


def gradients(estimator, network, windows, whole, key):
    """The gradient of an estimator and of BPTT over the whole window, each as `(encoder, rest)`."""
    found, _ = gradient_over(estimator, STEP, network, windows, key)
    exact, _ = gradient_over(BPTT(), STEP, network, [whole], key)
    return parts(found), parts(exact)


each_encoder = pytest.mark.parametrize("encoder", ["MLP", "Conv"])


@each_encoder
@pytest.mark.parametrize("cell", ["GRU", "LRU"])
def test_rtrl_with_exact_encoder_equals_bptt(encoder, cell, key):
    network, window = behind(encoder, cell, key)
    found, exact = gradients(RTRL(), network, pieces(window, 2), window, key)
    assert distance(found, exact) < 1e-10
    assert not is_diagonal(STEP, network, window)


@each_encoder
def test_uoro_with_exact_encoder_equals_bptt_if_its_memory_is_the_window(encoder, key):
    network, window = behind(encoder, "GRU", key)
    found, exact = gradients(UORO(memory=6), network, [window], window, key)
    assert distance(found, exact) < 1e-10


@each_encoder
@pytest.mark.parametrize("cell", ["GRU", "LRU"])
def test_rtrl_without_exact_encoder_is_exact_but_for_the_encoder(encoder, cell, key):
    network, window = behind(encoder, cell, key, resets=False)
    found, exact = gradients(RTRL(exact_encoder=False), network, pieces(window, 2), window, key)
    assert distance(found[1], exact[1]) < 1e-10
    assert distance(found[0], exact[0]) > 1e-2


@pytest.mark.parametrize(
    "estimator",
    [RTRL(exact_encoder=False), UORO(exact_encoder=False), KFRTRL(exact_encoder=False), SnAp()],
    ids=str,
)
@each_encoder
def test_encoder_has_the_gradient_of_the_present_step_without_exact_encoder(encoder, estimator, key):
    """It equals one-step truncation, without noise."""
    network, window = behind(encoder, "GRU", key, resets=False)
    found, _ = gradient_over(estimator, STEP, network, pieces(window, 2), key)
    truncated, _ = gradient_over(TBPTT(1), STEP, network, pieces(window, 2), key)
    assert distance(found.encoder, truncated.encoder) < 1e-10
    assert distance(found.head, truncated.head) < 1e-10


@pytest.mark.parametrize("cell", ["LRU", "RTU", "MinGRU"])
def test_snap_equals_rtrl_without_exact_encoder_on_a_diagonal_cell(cell, key):
    network, window = behind("MLP", cell, key)
    found, _ = gradient_over(SnAp(), STEP, network, pieces(window, 2), key)
    other, _ = gradient_over(RTRL(exact_encoder=False), STEP, network, pieces(window, 2), key)
    assert distance(found, other) < 1e-10


@pytest.mark.parametrize("estimator", [UORO(exact_encoder=False), KFRTRL(exact_encoder=False)], ids=str)
def test_random_estimators_without_exact_encoder_are_unbiased_but_for_the_encoder(estimator, key):
    network, window = behind("MLP", "GRU", key, resets=False)
    exact, _ = gradient_over(BPTT(), STEP, network, [window], key)
    exact_rest = flat(parts(exact)[1])

    def draw(key):
        return flat(parts(gradient_over(estimator, STEP, network, [window], key)[0])[1])

    draws = jax.lax.map(draw, jax.random.split(jax.random.key(11), 500), batch_size=50)
    error = jnp.std(draws, axis=0, ddof=1) / 500**0.5
    z = jnp.abs(jnp.mean(draws, axis=0) - exact_rest) / jnp.maximum(error, 1e-9)
    assert float(jnp.max(z)) < 5
    assert float(jnp.max(error)) > 0


def test_diagnose_shows_the_bias_of_the_encoder(key):
    network, window = behind("MLP", "LRU", key, resets=False)
    exact, biased = diagnose(STEP, network, window, [RTRL(), RTRL(exact_encoder=False)], draws=2, key=key)
    assert exact.bias < 1e-10
    assert biased.bias > 1e-3
    found, whole = gradients(RTRL(exact_encoder=False), network, [window], window, key)
    assert biased.bias == pytest.approx(float(jnp.linalg.norm(flat(found) - flat(whole)) / jnp.linalg.norm(flat(whole))))


def test_kf_rtrl_refuses_an_encoder_with_exact_encoder(key):
    network, window = behind("MLP", "GRU", key)
    with pytest.raises(InputError, match=r"KFRTRL\(exact_encoder=False\)"):
        KFRTRL().init(STEP, network, window)
    frozen = dataclasses.replace(network, encoder=FrozenEncoder(network.encoder))
    KFRTRL().init(STEP, frozen, window)


@each_encoder
@pytest.mark.parametrize("estimator", [RTRL(exact_encoder=False), UORO(exact_encoder=False)], ids=str)
def test_trace_without_exact_encoder_has_no_part_of_the_encoder(encoder, estimator, key):
    network, window = behind(encoder, "LRU", key)
    plain = random_window(key)
    trace, alone = (
        estimator.init(STEP, one, seen).trace
        for one, seen in ((network, window), (dataclasses.replace(network, encoder=eqx.nn.Identity()), plain))
    )
    assert flat(trace).size == flat(alone).size
    assert flat(estimator.__class__().init(STEP, network, window).trace).size > flat(alone).size


def test_sharded_rtrl_without_exact_encoder_equals_one_device(key):
    network, window = behind("Conv", "LRU", key)
    estimator = RTRL(exact_encoder=False)
    one, two = (gradient_over(each, STEP, network, [window], key)[0] for each in (estimator, Sharded(estimator, 2)))
    assert distance(two, one) < 1e-12


class Cost(eqx.Module):
    """The floating-point operations of a compiled program, and the bytes that it needs beside arguments and results."""

    flops: float
    bytes: int


def cost_of(function, *arguments):
    arrays, static = eqx.partition(arguments, eqx.is_array)
    compiled = (
        jax.jit(lambda arrays: eqx.filter(function(*eqx.combine(arrays, static)), eqx.is_array)).lower(arrays).compile()
    )
    return Cost(compiled.cost_analysis()["flops"], compiled.memory_analysis().temp_size_in_bytes)


def gradient_cost(estimator, network, window):
    carry = estimator.init(STEP, network, window)
    return cost_of(lambda *run: estimator.gradient(STEP, *run, jax.random.key(0)), network, carry, window)


def encoder_cost(encoder, images):
    """Forwards and backwards, for a whole window."""

    def gradient(encoder, images):
        return eqx.filter_grad(lambda encoder: jnp.sum(jax.vmap(jax.vmap(encoder))(images) ** 2))(encoder)

    return cost_of(gradient, encoder, images)


def test_rtrl_without_exact_encoder_costs_the_encoder_once(key):
    """Operations and memory are those without an encoder plus those of the encoder, forwards and backwards."""
    space, features, batch, steps = Box(0, 255, (20, 20, 3), np.uint8), 16, 4, 2
    encoder = Conv(space, channels=(8, 8), features=features, key=key)
    cell, head = LRU(features, 8, key=key), eqx.nn.Linear(8, OUTPUTS, key=key)
    first, targets = jnp.zeros((batch, steps), bool), jnp.zeros((batch, steps, OUTPUTS))
    images = Window(first, jnp.zeros((batch, steps, 20, 20, 3), jnp.uint8), targets)
    vectors = Window(first, jnp.zeros((batch, steps, features)), targets)
    network, bare = Network(encoder, cell, head), Network(eqx.nn.Identity(), cell, head)
    whole, exact = (gradient_cost(RTRL(flag), network, images) for flag in (False, True))
    alone, own = gradient_cost(RTRL(), bare, vectors), encoder_cost(network.encoder, images.inputs)
    assert whole.flops < 1.1 * (alone.flops + own.flops)
    assert whole.bytes < 1.5 * (alone.bytes + own.bytes)
    assert exact.flops > 3 * whole.flops
    assert exact.bytes > 3 * whole.bytes


def test_exact_encoder_reaches_a_stack_behind_the_encoder(key):
    """Only the encoder loses credit: the lower of two layers keeps its exact gradient."""
    one, other = jax.random.split(key)
    network, window = behind("MLP", "GRU", key, resets=False)
    stack = Chain(GRU(INPUTS, 3, key=one), GRU(3, UNITS, key=other))
    network = dataclasses.replace(network, memory=stack)
    found, exact = gradients(RTRL(exact_encoder=False), network, pieces(window, 3), window, key)
    assert distance(found[1], exact[1]) < 1e-10
    assert distance(found[0], exact[0]) > 1e-2
