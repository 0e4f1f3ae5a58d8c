"""Each cell equals its published equations, computed in NumPy, and has its stated properties."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from farback.cell import unroll
from farback.cells.amrl import AMRL, Aggregator
from farback.cells.elstm import ELSTM
from farback.cells.gru import GRU
from farback.cells.gtrxl import GTrXL
from farback.cells.initialisers import Chrono, Forget
from farback.cells.linear import in_parallel, in_turn, linear_scan
from farback.cells.lru import LRU
from farback.cells.lstm import LSTM
from farback.cells.min_gru import MinGRU
from farback.cells.ring import Ring
from farback.cells.rtu import RTU, NonlinearRTU
from farback.cells.srnn import SRNN
from farback.cells.weight_norm import WeightNorm
from farback.types import InputError

pytestmark = pytest.mark.slow

INPUTS, UNITS, STEPS = 3, 4, 7


@pytest.fixture
def x(key):
    return jax.random.normal(jax.random.fold_in(key, 1), (STEPS, INPUTS))


def stepped(cell, x):
    """The outputs of a cell, step by step from its initial state."""
    return jax.lax.scan(lambda state, x: cell(state, x), cell.initial(), x)[1]


def outputs(cell, x):
    return np.asarray(eqx.filter_jit(stepped)(cell, x))


def in_numpy(tree):
    return jax.tree.map(np.asarray, eqx.filter(tree, eqx.is_array))


def with_noise(tree, key, scale=0.3):
    """The tree with random numbers added to all parameters, so that no bias is zero."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    noisy = [
        leaf + scale * jax.random.normal(key, leaf.shape) if eqx.is_array(leaf) else leaf
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(structure, noisy)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def relu(a):
    return np.maximum(a, 0)


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


# The scan of the linear cells.


@pytest.mark.parametrize("dtype", [float, complex])
def test_linear_scan_equals_the_recurrence(dtype, key):
    rng = np.random.default_rng(0)

    def draw(*shape):
        return (rng.normal(size=shape) + (1j * rng.normal(size=shape) if dtype is complex else 0)).astype(dtype)

    a, b, h = draw(STEPS, 2, UNITS), draw(STEPS, 2, UNITS), draw(2, UNITS)
    first = rng.random((STEPS, 2)) < 0.3
    found = linear_scan(*map(jnp.asarray, (a, b, h, first)), jnp.ones((STEPS, 2)))
    for t in range(STEPS):
        h = a[t] * np.where(first[t][:, None], 0, h) + b[t]
        close(found[t], h)


@pytest.mark.parametrize("reverse", [False, True])
def test_linear_scan_in_parallel_equals_stepping(reverse, key):
    a, b = jax.random.normal(key, (2, 11, 2, UNITS))
    close(in_parallel(a, b, reverse=reverse), in_turn(a, b, reverse=reverse))


def test_linear_scan_flow_multiplies_the_credit_of_the_past():
    a, b, first = 0.5 * jnp.ones((3, 1, 1)), jnp.ones((3, 1, 1)), jnp.zeros((3, 1), bool)
    flow = jnp.array([[7.0], [0.0], [3.0]])

    def last(a, b, state):
        return linear_scan(a, b, state, first, flow)[-1, 0, 0]

    states = [0.0, 1.0, 1.5]  # before each step
    for_a, for_b, for_state = jax.grad(last, argnums=(0, 1, 2))(a, b, jnp.zeros((1, 1)))
    credit = np.array([0.0, 3 * 0.5, 1.0])  # nothing passes from step 1 into step 0
    close(for_b.ravel(), credit)
    close(for_a.ravel(), credit * states)
    close(for_state.ravel(), [0.0])


# MinGRU.


def test_min_gru_equations(key, x):
    cell = with_noise(MinGRU(INPUTS, UNITS, key=key), key)
    p, h = in_numpy(cell), np.zeros(UNITS)
    for x_t, y_t in zip(np.asarray(x), outputs(cell, x), strict=True):
        z = sigmoid(x_t @ p.input_weight[:, 0] + p.bias[0])
        h = (1 - z) * h + z * (x_t @ p.input_weight[:, 1] + p.bias[1])
        close(y_t, h)


def test_min_gru_gates_have_their_odds(key):
    cell = MinGRU(INPUTS, 500, Chrono(50.0, 10.0), key=key)
    keep, _ = cell.project(jnp.zeros(INPUTS))
    lasts = 1 / (1 - keep)
    assert 10 < lasts.min() < 12
    assert 48 < lasts.max() < 50


# Complex cells.


def test_lru_equations(key, x):
    cell = with_noise(LRU(INPUTS, UNITS, output_size=2, key=key), key)
    p, h = in_numpy(cell), np.zeros(UNITS, complex)
    eigenvalues = np.exp(-np.exp(p.ring.nu_log) + 1j * np.exp(p.ring.theta_log))
    b = p.input_weight[:, 0] + 1j * p.input_weight[:, 1]
    c = p.output_weight[0] + 1j * p.output_weight[1]
    for x_t, y_t in zip(np.asarray(x), outputs(cell, x), strict=True):
        h = eigenvalues * h + np.exp(p.gamma_log) * (x_t @ b)
        close(y_t, (h @ c).real + x_t @ p.skip_weight)


@pytest.mark.parametrize(("r_min", "r_max", "max_phase"), [(0.0, 1.0, 6.28), (0.9, 0.999, 0.3), (0.5, 0.5, 0.1)])
def test_ring_eigenvalues_are_uniform(r_min, r_max, max_phase, key):
    ring = Ring(4000, r_min, r_max, max_phase, key=key)
    eigenvalues = ring.eigenvalues()
    r = jnp.abs(eigenvalues)
    assert r.min() >= r_min - 1e-12
    assert r.max() <= r_max + 1e-12
    assert abs(jnp.mean(r**2) - (r_min**2 + r_max**2) / 2) < 0.02  # uniform over the area
    phases = jnp.angle(eigenvalues) % (2 * jnp.pi)
    assert phases.max() <= max_phase + 1e-12
    assert abs(jnp.mean(phases) - max_phase / 2) < 0.03 * max_phase
    close(ring.normaliser(), jnp.sqrt(1 - r**2))


def test_lru_normaliser_keeps_the_variance_of_white_noise(key):
    cell = LRU(1, 200, 0.8, 0.95, key=key)
    x = jax.random.normal(key, (4000, 1))
    h = jax.lax.scan(lambda state, x: (cell(state, x)[0],) * 2, cell.initial(), x)[1]
    driven = jnp.sum(cell.input_weight**2, axis=(0, 1))
    assert abs(jnp.mean(jnp.mean(h.re[100:] ** 2 + h.im[100:] ** 2, axis=0) / driven) - 1) < 0.05


@pytest.mark.parametrize("kind", [LRU, RTU, NonlinearRTU])
def test_complex_cells_have_real_parameters_with_gradients(kind, key, x):
    cell = kind(INPUTS, 50, key=key)
    leaves = jax.tree.leaves(cell)
    assert all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves)
    assert all(leaf.shape == (50,) for leaf in jax.tree.leaves(cell.initial()))

    def loss(cell):
        return jnp.sum(stepped(cell, x) ** 2)

    for leaf in jax.tree.leaves(jax.grad(loss)(cell)):
        assert jnp.all(jnp.isfinite(leaf))
        assert jnp.any(leaf != 0)


def rtu_parts(p):
    r, theta = np.exp(-np.exp(p.ring.nu_log)), np.exp(p.ring.theta_log)
    return r * np.cos(theta), r * np.sin(theta), np.sqrt(1 - r**2)


def test_rtu_equations(key, x):
    cell = with_noise(RTU(INPUTS, UNITS, key=key), key)
    p, h1, h2 = in_numpy(cell), np.zeros(UNITS), np.zeros(UNITS)
    g, phi, gamma = rtu_parts(p)
    for x_t, y_t in zip(np.asarray(x), outputs(cell, x), strict=True):
        w1, w2 = x_t @ p.input_weight[:, 0], x_t @ p.input_weight[:, 1]
        h1, h2 = g * h1 - phi * h2 + gamma * w1, g * h2 + phi * h1 + gamma * w2
        close(y_t, relu(np.concatenate([h1, h2])))


def test_nonlinear_rtu_equations(key, x):
    cell = with_noise(NonlinearRTU(INPUTS, UNITS, key=key), key)
    p, h1, h2 = in_numpy(cell), np.zeros(UNITS), np.zeros(UNITS)
    g, phi, gamma = rtu_parts(p)
    for x_t, y_t in zip(np.asarray(x), outputs(cell, x), strict=True):
        w1, w2 = x_t @ p.input_weight[:, 0], x_t @ p.input_weight[:, 1]
        h1, h2 = relu(g * h1 - phi * h2 + gamma * w1), relu(g * h2 + phi * h1 + gamma * w2)
        close(y_t, np.concatenate([h1, h2]))


# ELSTM.


def test_elstm_equations_and_jacobian(key, x):
    cell = with_noise(ELSTM(INPUTS, UNITS, key=key), key)
    p, c = in_numpy(cell), np.zeros(UNITS)
    (w_f, w_z), (b_f, b_z) = p.state_weight, p.bias
    for x_t, y_t in zip(np.asarray(x), outputs(cell, x), strict=True):
        f = sigmoid(x_t @ p.input_weight[:, 0] + w_f * c + b_f)
        z = np.tanh(x_t @ p.input_weight[:, 1] + w_z * c + b_z)
        kappa = f + (1 - f) * (1 - z**2) * w_z + (c - z) * f * (1 - f) * w_f
        jacobian = jax.jacobian(lambda c, x_t=x_t: cell(c, jnp.asarray(x_t))[0])(jnp.asarray(c))
        close(jacobian, np.diag(kappa))
        c = f * c + (1 - f) * z
        o = sigmoid(x_t @ p.output_input_weight + c @ p.output_state_weight + p.output_bias)
        close(y_t, o * c)


def test_elstm_gates_have_their_odds(key):
    cell = ELSTM(INPUTS, UNITS, Forget(2.0), key=key)
    close(cell.project(jnp.zeros(INPUTS))[0], 2.0 * np.ones(UNITS))


# SRNN.


def test_srnn_equations(key, x):
    cell = with_noise(SRNN(INPUTS, UNITS, 6, 2, key=key), key)
    p, h = in_numpy(cell), np.zeros(UNITS)
    for x_t, y_t in zip(np.asarray(x), outputs(cell, x), strict=True):
        a = x_t
        for layer in p.perceptron.layers[:-1]:
            a = relu(layer.weight @ a + layer.bias)
        a = p.perceptron.layers[-1].weight @ a + p.perceptron.layers[-1].bias
        h = relu(h[[3, 0, 1, 2]] + a * sigmoid(p.gate.weight @ x_t + p.gate.bias))
        close(y_t, h)


def test_srnn_keeps_its_state_without_input(key):
    cell = SRNN(INPUTS, UNITS, key=key)
    state = jnp.arange(1.0, UNITS + 1)
    for _ in range(UNITS):
        state = cell.advance(state, jnp.zeros(UNITS))
    assert jnp.array_equal(state, jnp.arange(1.0, UNITS + 1))


# AMRL.


@pytest.mark.parametrize("aggregate", ["avg", "sum", "max"])
@pytest.mark.parametrize("size", [4, 5])
def test_amrl_equations(aggregate, size, key, x):
    cell = with_noise(AMRL(INPUTS, size, aggregate, key=key), key)
    p = in_numpy(cell.lstm)
    h, c, seen = np.zeros(size), np.zeros(size), []
    for x_t, y_t in zip(np.asarray(x), outputs(cell, x), strict=True):
        a = np.tensordot(x_t, p.input_weight, 1) + np.tensordot(h, p.state_weight, 1) + p.bias
        c = sigmoid(a[1]) * c + sigmoid(a[0]) * np.tanh(a[2])
        h = sigmoid(a[3]) * np.tanh(c)
        plain, aggregated = h[: size - size // 2], h[size - size // 2 :]
        seen.append(aggregated)
        expected = {
            "avg": np.mean(seen, axis=0),
            "sum": np.sum(seen, axis=0),
            "max": relu(np.max(seen, axis=0)),
        }[aggregate]
        close(y_t, np.concatenate([plain, expected]))


@pytest.mark.parametrize(
    ("aggregate", "straight_through", "expected"),
    [
        ("avg", True, [1, 1, 1, 1]),
        ("avg", False, [0.25, 0.25, 0.25, 0.25]),
        ("sum", True, [1, 1, 1, 1]),
        ("sum", False, [1, 1, 1, 1]),
        ("max", True, [1, 1, 1, 1]),
        ("max", False, [0, 1, 0, 0]),
    ],
)
def test_amrl_credit_of_the_aggregated_steps(aggregate, straight_through, expected):
    cell = Aggregator(aggregate, straight_through, jnp.zeros(2))
    x = jnp.array([[9.0, 1.0], [9.0, 3.0], [9.0, 2.0], [9.0, -1.0]])

    def last(x):
        return stepped(cell, x)[-1, 1]

    close(last(x), {"avg": 5 / 4, "sum": 5.0, "max": 3.0}[aggregate])
    close(jax.grad(last)(x)[:, 1], expected)
    close(jax.jvp(last, (x,), (jnp.ones_like(x),))[1], sum(expected))


def test_amrl_resets_its_aggregates(key, x):
    cell = AMRL(INPUTS, UNITS, "avg", key=key)
    state = jax.tree.map(lambda leaf: leaf[None], cell.initial())
    first = jnp.arange(STEPS)[:, None] == 3
    _, y = unroll(cell, state, first, x[:, None], jnp.ones((STEPS, 1)))
    close(y[3:, 0], outputs(cell, x[3:]))


# GTrXL.


def gtrxl_in_numpy(cell, heads, memory, x):
    """Attention over lists of the past."""
    p, size = in_numpy(cell), len(cell.embed.bias)
    lists, results = [[] for _ in p.blocks], []
    for x_t in x:
        e = p.embed.weight @ x_t + p.embed.bias
        for block, past in zip(p.blocks, lists, strict=True):
            past.append(e)
            seen = [normalised(block.attention.norm, e) for e in past[-memory - 1 :]]
            e = gated(block.attention_gate, e, relu(attended(block.attention, heads, size, seen)))
            hidden, last = block.feed.layers
            fed = relu(hidden.weight @ normalised(block.feed_norm, e) + hidden.bias)
            e = gated(block.feed_gate, e, relu(last.weight @ fed + last.bias))
        results.append(e)
    return np.stack(results)


def normalised(p, a):
    return (a - a.mean()) / np.sqrt(a.var() + 1e-5) * p.weight + p.bias


def gated(p, x, y):
    r = sigmoid(y @ p.incoming[:, 0] + x @ p.passing[:, 0])
    z = sigmoid(y @ p.incoming[:, 1] + x @ p.passing[:, 1] - p.bias)
    return (1 - z) * x + z * np.tanh(y @ p.incoming[:, 2] + (r * x) @ p.passing[:, 2])


def attended(p, heads, size, seen):
    results = []
    for n in range(heads):
        scores = []
        for distance in range(len(seen)):
            rates = [10_000.0 ** (-i / size) for i in range(0, size, 2)]
            position = np.array([np.sin(distance * w) for w in rates] + [np.cos(distance * w) for w in rates])
            q = seen[-1] @ p.weight[:, 0, n]
            k = seen[-1 - distance] @ p.weight[:, 1, n]
            by_distance = (q + p.position_bias[n]) @ (position[:size] @ p.position_weight[:, n])
            scores.append(((q + p.content_bias[n]) @ k + by_distance) / np.sqrt(size // heads))
        attention = np.exp(scores) / np.exp(scores).sum()
        results.append(sum(a * (e @ p.weight[:, 2, n]) for a, e in zip(attention, seen[::-1], strict=True)))
    return p.out.weight @ np.concatenate(results)


@pytest.mark.parametrize(("size", "heads"), [(4, 2), (5, 1)])
def test_gtrxl_equations(size, heads, key, x):
    cell = with_noise(GTrXL(INPUTS, size, memory=3, layers=2, heads=heads, width=6, key=key), key)
    close(outputs(cell, x), gtrxl_in_numpy(cell, heads, 3, np.asarray(x)))


@pytest.mark.parametrize(("layers", "memory"), [(1, 2), (2, 2)])
def test_gtrxl_depends_on_layers_times_memory_steps(layers, memory, key, x):
    cell = with_noise(GTrXL(INPUTS, UNITS, memory, layers, heads=2, width=6, key=key), key)
    moved = np.abs(outputs(cell, x) - outputs(cell, x.at[0].add(1.0))).max(axis=1)
    reach = layers * memory
    assert np.all(moved[: reach + 1] > 1e-9)
    assert np.all(moved[reach + 1 :] == 0)


def test_gtrxl_does_not_attend_across_episodes(key, x):
    cell = with_noise(GTrXL(INPUTS, UNITS, memory=5, layers=2, heads=2, width=6, key=key), key)
    state = jax.tree.map(lambda leaf: leaf[None], cell.initial())
    first = jnp.arange(STEPS)[:, None] == 3
    _, y = unroll(cell, state, first, x[:, None], jnp.ones((STEPS, 1)))
    close(y[:3, 0], outputs(cell, x)[:3])
    close(y[3:, 0], outputs(cell, x[3:]))
    assert np.abs(y[3:, 0] - outputs(cell, x)[3:]).max() > 1e-6


# WeightNorm.


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_weight_norm_equals_its_cell_at_first(kind, key, x):
    cell = kind(INPUTS, UNITS, key=key)
    close(outputs(WeightNorm(cell), x), outputs(cell, x))


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_weight_norm_has_lengths_g_and_directions_v(kind, key, x):
    cell = with_noise(WeightNorm(kind(INPUTS, UNITS, key=key)), key)
    weights = in_numpy(cell.normalised())
    for w, v, g in (
        (weights.input_weight, cell.cell.input_weight, cell.input_gain),
        (weights.state_weight, cell.cell.state_weight, cell.state_gain),
    ):
        for group in range(g.shape[0]):
            for unit in range(UNITS):
                column = np.asarray(v)[:, group, unit]
                close(w[:, group, unit], g[group, unit] * column / np.sqrt(np.sum(column**2)))


def test_weight_norm_is_invariant_to_the_scale_of_v(key, x):
    cell = with_noise(WeightNorm(GRU(INPUTS, UNITS, key=key)), key)

    def weights(cell):
        return cell.cell.input_weight, cell.cell.state_weight

    scaled = eqx.tree_at(weights, cell, tuple(3.0 * v for v in weights(cell)))
    close(outputs(scaled, x), outputs(cell, x))
    gradient = eqx.filter_grad(lambda cell: jnp.sum(stepped(cell, x) ** 2))(cell)
    for v, g in zip(weights(cell), weights(gradient), strict=True):
        assert jnp.abs(g).max() > 1e-4
        close(jnp.sum(v * g, axis=0), np.zeros(g.shape[1:]))


def test_weight_norm_local_step_is_local(key, x):
    cell = with_noise(WeightNorm(LSTM(INPUTS, UNITS, key=key)), key)
    state = jax.tree.map(lambda leaf: leaf + 0.5, cell.initial())
    close(cell.local(state, x[0])[1], cell(state, x[0])[1])
    jacobian = jax.jacobian(lambda h: cell.local(state._replace(h=h), x[0])[0].c)(state.h)
    assert jnp.abs(jnp.diag(jacobian)).min() > 0
    close(jacobian, np.diag(np.diag(jacobian)))


# Arguments.


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda key: LRU(INPUTS, UNITS, r_min=0.9, r_max=0.5, key=key), "r_min"),
        (lambda key: RTU(INPUTS, UNITS, r_max=1.5, key=key), "r_max"),
        (lambda key: NonlinearRTU(INPUTS, UNITS, max_phase=0.0, key=key), "max_phase"),
        (lambda key: SRNN(INPUTS, UNITS, depth=0, key=key), "depth"),
        (lambda key: AMRL(INPUTS, UNITS, "median", key=key), "aggregate"),
        (lambda key: AMRL(INPUTS, 1, key=key), "size"),
        (lambda key: GTrXL(INPUTS, UNITS, memory=0, key=key), "memory"),
        (lambda key: GTrXL(INPUTS, UNITS, layers=0, key=key), "layers"),
        (lambda key: GTrXL(INPUTS, 5, heads=2, key=key), "heads"),
        (lambda key: WeightNorm(MinGRU(INPUTS, UNITS, key=key)), "cell"),
    ],
)
def test_cells_refuse_wrong_arguments_by_name(make, name, key):
    with pytest.raises(InputError, match=name):
        make(key)
