"""The distributions of initial parameters: chrono gates, forget biases, orthogonal and Xavier weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from farback.cells import (
    GRU,
    LSTM,
    Chrono,
    ChronoUnknown,
    Forget,
    Gated,
    Identity,
    Leaky,
    MinGRU,
    Normal,
    Orthogonal,
    Uniform,
    Xavier,
)

UNITS = 4000


def is_uniform(values, low, high):
    """Whether values pass a Kolmogorov-Smirnov test, at about six standard deviations."""
    ordered = np.sort((np.asarray(values) - low) / (high - low))
    assert ordered[0] >= 0
    assert ordered[-1] <= 1
    return np.max(np.abs(ordered - (np.arange(len(ordered)) + 0.5) / len(ordered))) < 3 / len(ordered) ** 0.5


def test_chrono_draws_uniform_forgetting_times(key):
    assert is_uniform(jnp.exp(Chrono(300.0)(key, UNITS)) + 1, 2, 300)
    assert is_uniform(jnp.exp(Chrono(90.0, t_min=30.0)(key, UNITS)) + 1, 30, 90)
    assert not is_uniform(jnp.exp(Chrono(300.0)(key, UNITS)) + 1, 2, 400)


def test_chrono_of_an_lstm_equals_eq_5_16(key):
    b_i, b_f, b_g, b_o = LSTM(1, UNITS, gates=Chrono(300.0), state_init=Normal(0.0), key=key).bias
    assert is_uniform(jnp.exp(b_f), 1, 299)
    assert (b_i == -b_f).all()
    assert not b_g.any()
    assert not b_o.any()


def test_lstm_has_a_forget_bias_of_one_by_default(key):
    b_i, b_f, _, _ = LSTM(1, 5, key=key).bias
    assert (b_f == 1).all()
    assert (b_i == 0).all()
    assert (LSTM(1, 5, gates=Forget(-0.3), key=key).bias[1] == -0.3).all()


@pytest.mark.parametrize(
    ("make", "row", "sign"), [(GRU, 1, 1), (Gated, 1, -1), (Leaky, 1, -1), (MinGRU, 0, -1)], ids=lambda value: str(value)
)
def test_chrono_sets_the_gate_that_keeps_the_state(make, row, sign, key):
    """The gate that keeps is σ(log(T − 1)) = 1 − 1/T."""
    cell = make(1, 100, gates=Chrono(50.0), key=key)
    keep = jax.nn.sigmoid(sign * cell.bias[row])
    assert (1 / (1 - keep) >= 2 - 1e-6).all()
    assert (1 / (1 - keep) <= 50 + 1e-6).all()
    assert (cell.bias.sum(0) == cell.bias[row]).all()


def test_chrono_unknown_has_its_distribution(key):
    """P(T = k) ∝ 1 / (k log²(k + 1)): the ratios of the first frequencies, and a tail beyond 10⁴ up to 10⁶."""
    times = np.exp(np.asarray(ChronoUnknown()(key, 400_000)))
    counts = np.bincount(np.round(times).astype(int), minlength=10)
    for k in (2, 3, 6):
        expected = np.log(2) ** 2 / (k * np.log(k + 1) ** 2)
        assert counts[k] / counts[1] == pytest.approx(expected, rel=0.05)
    assert (times > 1e4).mean() > 0.005
    assert times.max() < 1e6 + 1
    tail = 1 / np.log(1e6)  # ∫ from 10⁶ of 1 / (k log² k)
    k = np.arange(1, 1_000_001)
    assert tail / (tail + np.sum(1 / (k * np.log(k + 1) ** 2))) == pytest.approx(0.02, rel=0.1)


def test_weights_have_their_distributions(key):
    assert jnp.array_equal(Identity()(key, 2, 3), jnp.array([[1.0, 0, 0], [0, 1.0, 0]]))
    matrix = Orthogonal(2.0)(key, 6, 6)
    assert jnp.allclose(matrix.T @ matrix, 4 * jnp.eye(6), atol=1e-10)
    assert is_uniform(Xavier()(key, 100, 50).ravel(), -(0.04**0.5), 0.04**0.5)
    assert is_uniform(Uniform()(key, 100, 25).ravel(), -0.2, 0.2)
    assert jnp.std(Normal(0.3)(key, 100, 100)) == pytest.approx(0.3, rel=0.05)


def test_each_gate_has_its_own_weights(key):
    cell = LSTM(3, 6, input_init=Normal(0.0), state_init=Orthogonal(), key=key)
    assert not cell.input_weight.any()
    for gate in range(4):
        assert jnp.allclose(cell.state_weight[:, gate].T @ cell.state_weight[:, gate], jnp.eye(6), atol=1e-10)
    assert not jnp.allclose(cell.state_weight[:, 0], cell.state_weight[:, 1])
