"""MemUP: its loss, the reach of its credit, the memory that it needs, and that it learns."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
from memup_models import EPISODES, STEPS, TASK, memup, predictor, prepared, with_memory
from states import identical, restored
from tables import CELLS, INPUTS, flat
from tiers import slow_except
from tiny_envs import Picture

from farback import cells
from farback.cell import output_size, reset, unroll
from farback.cells import GRU
from farback.encoders import Conv
from farback.envs import TMaze
from farback.estimators import BPTT, KFRTRL, RFLO, RTRL, SnAp
from farback.memup import (
    MemoryPredictor,
    MemUP,
    PredictionErrorDetector,
    PredictorNetwork,
    QuantileSpreadDetector,
    RandomEpisodes,
    RandomK,
    TaskEpisodes,
    TopK,
    Trajectories,
)
from farback.memup.prediction_errors import error_metrics, prediction_errors
from farback.memup.prepared_episodes import PreparedEpisodes
from farback.memup.selectors import SelectedTargets
from farback.memup.strided import Strided
from farback.tasks import SignalledCopy
from farback.types import InputError

pytestmark = pytest.mark.slow


@eqx.filter_jit
def gradient(algorithm: MemUP, network: MemoryPredictor, episodes: PreparedEpisodes, start: int, length: int, key):
    window = episodes.window(jnp.asarray(start), length, algorithm.prediction_interval)
    carry = algorithm.estimator.init(algorithm.step, network, window)
    return algorithm.estimator.gradient(algorithm.step, network, carry, window, key)


def test_strided_cell_is_its_steps(key):
    cell = GRU(2, 3, key=key)
    x = jax.random.normal(key, (4, 3, 5, 2))
    first = jax.random.bernoulli(key, 0.4, (4, 3))
    flow = jax.random.uniform(key, (4, 3))
    state = jax.random.normal(key, (3, 3))
    strided = Strided(cell)

    def one(state, now):
        first, x = now
        return jax.vmap(lambda state, first, x: strided(reset(strided, state, first), x))(state, first, x)

    expected = jax.lax.scan(one, state, (first, x))
    found = unroll(strided, state, first, x, jnp.ones(first.shape))
    assert jnp.allclose(flat(expected), flat(found))

    def last(state, flow):
        return jnp.sum(jnp.sin(unroll(strided, state, jnp.zeros(first.shape, bool), x, flow)[0]))

    cut = jax.grad(last)(state, flow.at[2].set(0))
    assert jnp.all(cut == 0)
    assert jnp.allclose(jax.grad(last)(state, flow), jax.grad(last)(state, jnp.ones(flow.shape)) * flow.prod(0)[:, None])


def test_predictor_unrolled_is_its_steps(key):
    network = predictor(EPISODES, key)
    inputs = EPISODES.draw(2, key).inputs
    time_major = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), inputs)
    first = (jnp.arange(STEPS) == 3)[:, None] & jnp.array([True, False])
    state = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (2, *leaf.shape)), network.initial())
    end, expected = jax.lax.scan(lambda state, now: jax.vmap(network)(state, *now), state, (first, time_major))
    found, outputs = network.unroll(state, first, time_major)
    assert jnp.allclose(flat(end), flat(found))
    assert jnp.allclose(jax.vmap(jax.vmap(network.head))(*outputs), expected)


def test_memup_window_without_targets_is_segmented_too(key):
    network, selector = predictor(EPISODES, key), TopK(0)
    episodes = prepared(memup(selector), network, key)[1]
    exact, found = (
        gradient(memup(selector, estimator), network, episodes, 0, STEPS, key)[0]
        for estimator in (BPTT(), BPTT(segmented=True))
    )
    assert jnp.abs(flat(exact)).max() > 1e-3
    assert jnp.allclose(flat(found), flat(exact))


def loss_by_hand(algorithm: MemUP, network: MemoryPredictor, episodes: Trajectories, context, weight):
    """Σ_t Σ_k weight[t, k] ℓ(head(m_t, c_k, q_k), y_k) / T, mean of the batch, with the whole past of m_t."""

    def one(inputs, targets, context):
        features = jax.vmap(network.encoder)(inputs.observation)
        _, remembered = jax.lax.scan(lambda *now: network.memory(*now), network.memory.initial(), features)

        def loss(memory, context, query, target):
            return algorithm.data.loss(network.head(memory, context, query), target)[0]

        every = jax.vmap(jax.vmap(loss, in_axes=(None, 0, 0, 0)), in_axes=(0, None, None, None))
        return jnp.sum(weight * every(remembered, context, jax.vmap(network.query)(inputs), targets))

    return jnp.mean(jax.vmap(one)(episodes.inputs, episodes.targets, context)) / STEPS


@eqx.filter_jit
def by_hand(algorithm, network, episodes, weight):
    def loss(network):
        return loss_by_hand(algorithm, network, episodes.episodes, episodes.context, weight)

    return eqx.filter_value_and_grad(loss)(network)


@pytest.mark.parametrize("estimator", [BPTT(), RTRL()], ids=["BPTT", "RTRL"])
def test_memup_of_all_later_steps_is_the_sum_of_all_predictions(estimator, key):
    """With K = T and the whole sequence as a window, MemUP is backpropagation through the sum of all predictions."""
    algorithm = memup(TopK(STEPS), estimator, predict_current=False)
    network = predictor(EPISODES, key, context=False)
    _, episodes = prepared(algorithm, network, key)
    found, _, outcome = gradient(algorithm, network, episodes, 0, STEPS, key)
    later = jnp.triu(jnp.ones((STEPS, STEPS)))
    value, expected = by_hand(algorithm, network, episodes, later)
    assert jnp.allclose(outcome.loss, value, rtol=1e-10)
    assert jnp.allclose(flat(found), flat(expected), rtol=1e-9, atol=1e-12)
    value, wrong = by_hand(algorithm, network, episodes, later.T)
    assert not jnp.allclose(flat(found), flat(wrong), rtol=1e-2)


@pytest.mark.parametrize("name", slow_except(("GRU", "RTU"), ("GRU", "RTU", "LSTM", "LRU", "GTrXL", "DeltaNet")))
def test_memup_memory_is_any_cell(name, key):
    algorithm = memup(TopK(STEPS), predict_current=False)
    cell, size = CELLS[name](key), TASK.input_size
    chain = cells.Chain(eqx.nn.Linear(size, INPUTS, key=jax.random.fold_in(key, 1)), cell)
    network = with_memory(EPISODES, chain, output_size(cell, INPUTS), key)
    _, episodes = prepared(algorithm, network, key)
    found = gradient(algorithm, network, episodes, 0, STEPS, key)[0]
    _, expected = by_hand(algorithm, network, episodes, jnp.triu(jnp.ones((STEPS, STEPS))))
    assert jnp.allclose(flat(found), flat(expected), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("cell", "estimator"),
    [(GRU, SnAp(1)), (cells.Leaky, RFLO()), (cells.Elman, KFRTRL()), (cells.RTU, RTRL())],
    ids=["SnAp", "RFLO", "KF-RTRL", "RTRL"],
)
def test_memup_blocks_of_one_step_keep_the_structure_of_the_memory(cell, estimator, key):
    size = TASK.input_size
    memory = cell(size, 4, key=key)
    network = with_memory(EPISODES, memory, output_size(memory, size), key)
    algorithm = memup(TopK(1), estimator)
    _, episodes = prepared(algorithm, network, key)
    found, carry, _ = gradient(algorithm, network, episodes, 0, 3, key)
    assert jnp.abs(flat(found)).max() > 0
    if cell is cells.RTU:  # one trace for each parameter and part of its own unit, and not of every unit
        kept = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(carry, eqx.is_inexact_array)))
        assert kept < 2 * 4 * flat(memory).size


def test_memup_of_current_steps_alone_is_supervised_learning(key):
    algorithm = memup(TopK(0))
    network = predictor(EPISODES, key)
    _, episodes = prepared(algorithm, network, key)
    found = gradient(algorithm, network, episodes, 0, STEPS, key)[0]

    def loss(network):
        def one(inputs, targets):
            first = jnp.arange(STEPS) == 0
            outputs = jax.lax.scan(lambda state, now: network(state, *now), network.initial(), (first, inputs))[1]
            return jnp.mean(jax.vmap(lambda output, target: EPISODES.loss(output, target)[0])(outputs, targets))

        return jnp.mean(jax.vmap(one)(episodes.episodes.inputs, episodes.episodes.targets))

    assert jnp.allclose(flat(found), flat(eqx.filter_jit(eqx.filter_grad(loss))(network)), rtol=1e-9, atol=1e-12)


def test_memup_credit_reaches_the_window_and_the_selected_steps_alone(key):
    """The gradient depends on r + K steps."""
    start, length = 2, 2
    algorithm = memup(TopK(1), predict_current=False, prediction_interval=2, window=2)
    network = predictor(EPISODES, key, units=8, context=False)
    _, episodes = prepared(algorithm, network, key)
    selected = SelectedTargets(jnp.full((2, STEPS, 1), STEPS - 1), jnp.ones((2, STEPS, 1)))

    def norm(drawn):
        one = PreparedEpisodes(drawn, selected, jnp.zeros((2, STEPS, 0)))
        return jnp.sum(flat(gradient(algorithm, network, one, start, length, key)[0]) ** 2)

    reach = eqx.filter_jit(eqx.filter_grad(norm))(episodes.episodes).inputs
    reached = jnp.any(reach.observation != 0, axis=(0, 2)).tolist()
    assert reached == [start <= step < start + length or step == STEPS - 1 for step in range(STEPS)]


@pytest.mark.slow
def test_memup_bytes_do_not_grow_with_the_episode(key):
    """Learning from an episode needs the memory of one window, whatever the length of the episode."""

    def compiled(steps, window, run):
        data = TaskEpisodes(SignalledCopy(steps - 4, symbols=3, length=2))
        algorithm = memup(TopK(2), data=data, window=window or steps)
        state = algorithm.begin(predictor(data, key, units=32), key)
        return jax.jit(lambda arrays: run(algorithm, state, arrays)).lower(given(algorithm, state, run)).compile()

    def given(algorithm, state, run):
        episodes = algorithm.data.draw(2, key)
        return episodes if run is prepares else algorithm.prepare(state, episodes, key)[1]

    def learns(algorithm, state, episodes):
        return eqx.filter(algorithm.learn(state, episodes, key)[0], eqx.is_array)

    def prepares(algorithm, state, episodes):
        return algorithm.prepare(state, episodes, key)[1]

    def growth(run, window):
        """Bytes for each additional step of an episode."""
        short, long = (compiled(steps, window, run).memory_analysis() for steps in (64, 320))
        return (long.temp_size_in_bytes - short.temp_size_in_bytes) / 256

    state_bytes = 2 * (32 + 3) * 8
    inputs = 2 * (2 * TASK.input_size + 8) * 8
    assert growth(learns, 4) < inputs
    assert growth(prepares, None) < 3 * inputs
    assert growth(learns, None) > state_bytes + inputs


def test_memup_update_is_a_pass_through_all_windows(key):
    algorithm = memup(TopK(1), batch_size=2, window=3)
    state, outcome = eqx.filter_jit(algorithm.update)(algorithm.begin(predictor(EPISODES, key), key))
    assert state.updates == algorithm.windows == 3
    assert algorithm.steps_per_update == 2 * 3 * 3
    # The last window has two steps of the episode, and padding.
    assert outcome.metrics["losses/current_prediction"].count == 2 * STEPS
    assert outcome.metrics["losses/grad_norm"].count == 3
    assert jnp.isfinite(outcome.loss)


@pytest.mark.parametrize("decayed", [False, True])
def test_memup_context_is_not_trained(decayed, key):
    optimizer = optax.chain(optax.add_decayed_weights(1.0), optax.sgd(0.1)) if decayed else optax.sgd(0.1)
    algorithm = memup(optimizer=optimizer)
    before = algorithm.begin(predictor(EPISODES, key), key)
    after, _ = algorithm.update(before)
    assert jnp.array_equal(flat(before.network.context), flat(after.network.context))
    assert not jnp.array_equal(flat(before.network.memory), flat(after.network.memory))


@pytest.mark.parametrize(
    ("detector", "selector"),
    [(PredictionErrorDetector(0.9), TopK(2, 0.1)), (QuantileSpreadDetector(updates=2, batch_size=8), RandomK(2))],
    ids=["prediction-error", "quantile-spread"],
)
def test_memup_resumes_bit_for_bit_with_its_detector(detector, selector, key):
    data = RandomEpisodes(TMaze(4, extra=2))
    with jax.numpy_dtype_promotion("standard"):
        algorithm = memup(selector, data=data, optimizer=optax.adam(1e-2), window=2, detector=detector)
        start, update = algorithm.init(key), eqx.filter_jit(lambda state: algorithm.update(state)[0])
        state = update(update(start))
        whole = update(state)
        assert identical(update(restored(state)), whole)
        assert not identical(whole.detector, start.detector)
        lost = eqx.tree_at(lambda state: state.detector, state, start.detector)
        assert not identical(update(lost).detector, whole.detector)


def test_memup_encodes_uint8_images(key):
    """Images stay uint8 until the encoder, which learns: the outcome is remembered from the first image."""
    data = RandomEpisodes(Picture())
    drawn = data.draw(2, key).inputs
    assert drawn.observation.dtype == jnp.uint8
    assert drawn.observation.shape == (2, 2, 6, 6, 1)
    encoder = functools.partial(Conv, channels=(4,), kernel=3, stride=2)
    network = PredictorNetwork(functools.partial(GRU, size=8), encoder=encoder)
    with jax.numpy_dtype_promotion("standard"):
        algorithm = MemUP(data, network, BPTT(), optax.adam(1e-2), batch_size=32, window=1)
        before = algorithm.init(key)
        after, outcome = algorithm.train(before, 600)
    assert not jnp.array_equal(flat(before.network.encoder), flat(after.network.encoder))
    assert outcome.metrics["last_prediction_error"].mean[-5:].mean() < 0.05, "0.25 without memory"


def test_memup_evaluates_and_shows_fresh_episodes(key):
    algorithm = memup(batch_size=2)
    network = predictor(EPISODES, key)
    found = algorithm.evaluate(network, key, 5)["charts/prediction_error"]
    assert found.total.shape == (3,), "parts of 2 episodes each"
    timeline = algorithm.timeline(network, key, 2 * STEPS + 1)
    assert timeline.first.tolist() == [step % STEPS == 0 for step in range(2 * STEPS + 1)]
    drawn = EPISODES.draw(1, jax.random.split(key, 3)[0])
    errors = prediction_errors(EPISODES, network, drawn).error[0]
    assert jnp.allclose(timeline.metrics["charts/prediction_error"].total[:STEPS], errors)
    mean = prediction_errors(EPISODES, network, EPISODES.draw(4, key)).error.mean()
    assert jnp.allclose(algorithm.score(network, key, 4, 1).score, mean)


def test_memup_refuses_episodes_with_nan(key):
    class Torn(TaskEpisodes):
        def draw(self, count, key):
            episodes = super().draw(count, key)
            observation = episodes.inputs.observation.at[1, 2].set(jnp.nan)
            return eqx.tree_at(lambda one: one.inputs.observation, episodes, observation)

    algorithm = memup(data=Torn(TASK))
    with pytest.raises(InputError, match=r"inputs\.observation is NaN or infinite.*\[1, 2, 0\]"):
        algorithm.update(algorithm.begin(predictor(EPISODES, key), key))


def test_prediction_errors_of_empty_episodes_do_not_count(key):
    episodes = EPISODES.draw(3, key)
    empty = eqx.tree_at(lambda episodes: episodes.mask, episodes, episodes.mask.at[1].set(False))
    errors = prediction_errors(EPISODES, predictor(EPISODES, key), empty)
    assert jnp.all(errors.error[1] == 0)
    assert error_metrics(errors, empty)["last_prediction_error"].count == 2


@pytest.mark.parametrize(
    ("make_one", "message"),
    [
        (lambda: memup(TopK(STEPS + 1)), "an episode has"),
        (lambda: memup(TopK(0), predict_current=False), "no targets"),
        (lambda: memup(prediction_interval=0), "prediction_interval=0"),
        (lambda: memup(prediction_interval=STEPS + 1), f"prediction_interval={STEPS + 1}"),
        (lambda: memup(prediction_interval=2, window=3), "multiple of prediction_interval=2"),
        (lambda: memup(batch_size=0), "batch_size=0"),
        (lambda: memup(window=0), "window=0"),
        (lambda: memup().begin(GRU(2, 2, key=jax.random.key(0)), jax.random.key(0)), "not a MemoryPredictor"),
        (lambda: TopK(-1), "targets=-1"),
        (lambda: TopK(1, math.nan), "temperature=nan"),
        (lambda: PredictionErrorDetector(1.0), "decay=1"),
        (lambda: QuantileSpreadDetector(units=0), "units=0"),
    ],
)
def test_memup_refuses_impossible_arguments(make_one, message):
    with pytest.raises(InputError, match=message):
        make_one()


def trained(selector, passes, key):
    network = PredictorNetwork(functools.partial(GRU, size=16))
    data = RandomEpisodes(TMaze(12))
    with jax.numpy_dtype_promotion("standard"):
        algorithm = MemUP(data, network, BPTT(), optax.adam(3e-3), 32, 1, selector)
        _, outcome = algorithm.train(algorithm.init(key), passes)
    return outcome.metrics["last_prediction_error"].mean[-10:].mean()


@pytest.mark.slow
def test_memup_window_of_one_step_learns_over_twelve_steps(key):
    """The variance of the outcome of a random choice is 12.25."""
    assert trained(TopK(1), 150, key) < 1.0
    assert trained(TopK(0), 150, key) > 10.0
