"""Supervised learning reaches what its estimator can reach, and no more."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from farback import InputError, Network, ReadoutNetwork, SegmentwiseARTBP, Supervised
from farback.cells import GRU, Forget, Leaky, Normal
from farback.encoders import MLP
from farback.estimators import ARTBP, BPTT, RTRL, TBPTT, UORO, SnAp
from farback.tasks import Recall

pytestmark = pytest.mark.slow

SMALL = ReadoutNetwork(functools.partial(GRU, size=4))


@pytest.fixture(autouse=True)
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def late_loss(algorithm, updates, key=1):
    """The mean loss of the last fifth of the updates, in units of the loss without memory."""
    state, outcome = algorithm.train(eqx.filter_jit(algorithm.init)(jax.random.key(key)), updates)
    assert state.updates == updates
    return float(jnp.mean(outcome.loss[-updates // 5 :])) / algorithm.task.memoryless


@pytest.mark.parametrize(
    ("estimator", "window", "updates"), [(BPTT(), 14, 600), (RTRL(), 7, 800), (UORO(), 7, 2000)], ids=str
)
def test_supervised_learns_recall(estimator, window, updates):
    network = ReadoutNetwork(functools.partial(GRU, size=12))
    assert late_loss(Supervised(Recall(6, symbols=4), network, estimator, optax.adam(1e-2), 16, window), updates) < 0.3


def test_supervised_with_tbptt_does_not_learn_beyond_the_truncation():
    """Without training of the recurrence, the leak leaves nothing of the cue."""
    network = ReadoutNetwork(functools.partial(Leaky, size=12, gates=Forget(-1.0), state_init=Normal(0.05)))

    def loss(estimator):
        return late_loss(Supervised(Recall(12, symbols=4), network, estimator, optax.adam(1e-2), 16, 26), 1200, key=2)

    assert loss(TBPTT(2)) > 0.9
    assert loss(BPTT()) < 0.6


def test_segmentwise_artbp_learns_recall():
    """The loss of an update is the mean over its segment, so a mean over updates gives short segments more weight."""
    network = ReadoutNetwork(functools.partial(GRU, size=12))
    algorithm = SegmentwiseARTBP(Recall(2, symbols=4), network, ARTBP(8), optax.adam(3e-3), 8, 64)
    state, _ = algorithm.train(eqx.filter_jit(algorithm.init)(jax.random.key(1)), 800)
    metrics = eqx.filter_jit(algorithm.evaluate)(algorithm.network_in(state), jax.random.key(2), 4000)
    assert metrics["losses/loss"].total.sum() / metrics["losses/loss"].count.sum() < 0.3 * algorithm.task.memoryless


def numbers(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))])


def test_supervised_updates_equal_train(key):
    algorithm = Supervised(Recall(2), SMALL, UORO(), optax.adam(1e-2), 2, 3)
    state = start = eqx.filter_jit(algorithm.init)(key)
    losses = []
    for _ in range(4):
        state, outcome = eqx.filter_jit(algorithm.update)(state)
        losses.append(outcome.loss)
    together, outcomes = algorithm.train(start, 4)
    np.testing.assert_allclose(jnp.stack(losses), outcomes.loss, rtol=1e-10)
    np.testing.assert_allclose(numbers(state), numbers(together), rtol=1e-10, atol=1e-12)


def test_supervised_learns_from_windows_of_your_own(key):
    """`update` is `learn` on the window that the task draws."""
    algorithm = Supervised(Recall(2), SMALL, BPTT(), optax.sgd(0.1), 2, 3)
    state = eqx.filter_jit(algorithm.init)(key)
    _, window = algorithm.task.window(state.sources, 3)
    learnt, updated = eqx.filter_jit(algorithm.learn)(state, window)[0], eqx.filter_jit(algorithm.update)(state)[0]
    np.testing.assert_allclose(numbers(learnt.network), numbers(updated.network))
    with pytest.raises(InputError, match="give windows of 2 sequences"):
        algorithm.learn(state, jax.tree.map(lambda leaf: leaf[:1], window))


@pytest.mark.parametrize("estimator", [BPTT(), TBPTT(1), RTRL(), SnAp(), UORO()], ids=str)
def test_accuracy_counts_the_questions(estimator, key):
    algorithm = Supervised(Recall(2, symbols=3), SMALL, estimator, optax.sgd(0.0), 5, 6)
    _, outcome = eqx.filter_jit(lambda key: algorithm.update(algorithm.init(key)))(key)
    assert outcome.metrics["accuracy"].count == 10
    assert 0 <= outcome.metrics["accuracy"].mean <= 1


def test_supervised_evaluates_at_least_the_steps_that_it_is_given(key):
    algorithm = Supervised(Recall(2), SMALL, BPTT(), optax.sgd(0.0), 2, 3)
    network = algorithm.network_in(algorithm.init(key))
    metrics = algorithm.evaluate(network, key, 7)
    assert metrics["losses/loss"].count.shape == (2,)
    assert metrics["charts/accuracy"].count.sum() == 4
    timeline = algorithm.timeline(network, key, 6)
    assert timeline.first.tolist() == [True, False, False] * 2
    assert timeline.output.shape == (6, 2)
    score = algorithm.score(network, key, 4, 3)
    assert score is not None
    assert score.optimum == 0
    assert score.memoryless == algorithm.task.memoryless


def test_readout_network_has_an_encoder_if_it_is_given_one(key):
    network = ReadoutNetwork(functools.partial(GRU, size=4), functools.partial(MLP, size=5))(Recall(2), key=key)
    assert isinstance(network.encoder, MLP)
    assert network.memory.input_weight.shape[0] == 5
    plain = SMALL(Recall(2), key=key)
    assert jax.tree.leaves(plain.encoder) == []
    np.testing.assert_array_equal(plain.head.weight, network.head.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "give batch_size >= 1"),
        ({"window": 0}, "give window >= 1"),
        ({"network": lambda task, key: GRU(3, 2, key=key)}, "GRU is no network"),
        ({"network": lambda task, key: Network(eqx.nn.Identity(), GRU(3, 4, key=key), eqx.nn.Identity())}, r"\(2,\)"),
    ],
)
def test_supervised_refuses_what_does_not_fit(change, message, key):
    with pytest.raises(InputError, match=message):
        Supervised(**({"task": Recall(2), "network": SMALL} | change)).init(key)
