"""MemUP: a memory that learns to predict surprising outcomes of later steps."""

import dataclasses
from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from farback.algorithm import AbstractAlgorithm, Criterion, Score, Timeline, log_names, require_positive
from farback.estimators import BPTT, AbstractEstimator
from farback.memup.detectors import AbstractDetector
from farback.memup.episodes import AbstractEpisodeSource, Trajectories
from farback.memup.prediction_error_detector import PredictionErrorDetector
from farback.memup.prediction_errors import error_metrics, prediction_errors
from farback.memup.predictor import MemoryPredictor
from farback.memup.prepared_episodes import PreparedEpisodes
from farback.memup.selectors import AbstractTargetSelector, TopK, flat_scores
from farback.memup.step import MemUPStep
from farback.ops.optimizers import Optimizer, descend, descent_metrics
from farback.ops.random import example_keys
from farback.step import Metrics, Model
from farback.types import InputError, Outcome, Split, Tally

PREDICTION_ERROR = "charts/prediction_error"


class MemUPState(eqx.Module):
    """The whole state of MemUP. Training that resumes from it continues bit for bit."""

    network: MemoryPredictor
    optimizer: PyTree
    detector: PyTree
    key: PRNGKeyArray
    updates: Int[Array, ""]


class MemUP(AbstractAlgorithm):
    """MemUP: trains a memory to predict the most surprising outcomes of later steps.

        min  Σ_t Σ_{k ∈ U_t} ℓ(head(m_t, c_k, q_k), y_k),      U_t ⊂ {t, …, T} selected by surprise                  (5)

    No credit has to pass through the time between t and k, so short windows suffice for long memories.

    An update is one pass through fresh episodes. The optimizer makes one step for each window of the episodes, in order,
    and the memory's state carries over from window to window. An ordinary estimator computes the gradient of a window:
    with `BPTT()`, credit passes within the window and no further, as in the paper, whose windows have r = 1 to 60 steps.
    The gradient treats the selection as constant.

    A detector scores the steps of the episodes first. Steps with a NaN score are not selected. Where all scores of an
    episode are equal, the selection is arbitrary; the metric `flat_scores` is the share of these episodes. The metrics of
    the prediction error come from the detector's model before the pass; with `PredictionErrorDetector`, that is the moving
    average.

    With blocks of one step, every estimator that fits the memory works. With longer blocks, forward estimators treat the
    memory as dense, whatever its structure.

    **Arguments:**

    - `data`: the source of episodes, such as RandomEpisodes(TMaze(100)) or TaskEpisodes(Adding(100)).
    - `network`: the network, a maker `network(data, key=key)` such as a `PredictorNetwork`.
    - `estimator`: how credit passes through time within a window, such as BPTT() or RTRL().
    - `optimizer`: the optimizer, such as adam(3e-3). In Python, an optax gradient transformation.
    - `batch_size`: the number of episodes in a pass.
    - `window`: the time steps of an episode between two optimizer steps.
    - `selector`: how the later steps to predict are selected, such as TopK(2) or RandomK(2).
    - `prediction_interval`: the time steps of a block. Later steps are predicted at the end of each block.
    - `predict_current`: whether to predict the outcome of the current step too.
    - `detector`: how surprise is scored, such as PredictionErrorDetector(0.995) or QuantileSpreadDetector().

    Reference: Sorokin et al., *Explain my surprise: learning efficient long-term memory by predicting uncertain outcomes*,
    NeurIPS 2022.
    """

    data: AbstractEpisodeSource
    network: Callable[..., MemoryPredictor]
    estimator: AbstractEstimator = BPTT()
    optimizer: Optimizer = optax.adam(3e-3)
    batch_size: int = 16
    window: int = 64
    selector: AbstractTargetSelector = TopK()
    prediction_interval: int = 1
    predict_current: bool = True
    detector: AbstractDetector = PredictionErrorDetector()

    def __check_init__(self):
        require_positive(self, "batch_size", "window")
        steps, interval = self.data.steps, self.prediction_interval
        if not 1 <= interval <= steps:
            raise InputError(
                f"MemUP(prediction_interval={interval}): an episode has {steps} steps; give 1 <= prediction_interval <= "
                f"{steps}."
            )
        if self.window % interval:
            raise InputError(f"MemUP(window={self.window}): give a multiple of prediction_interval={interval}.")
        if not self.predict_current and not self.selector.targets:
            raise InputError("MemUP(predict_current=False): the selector has no targets either; give TopK(targets >= 1).")
        if self.selector.targets > steps:
            raise InputError(
                f"{type(self.selector).__name__}(targets={self.selector.targets}): an episode has {steps} steps; give "
                f"targets <= {steps}."
            )

    @property
    def step(self) -> MemUPStep:
        return MemUPStep(self.data, self.prediction_interval, self.predict_current)

    @property
    def windows(self) -> int:
        """The number of optimizer steps in a pass."""
        return -(-self.data.steps // self.window)

    @property
    def steps_per_update(self) -> int:
        return self.batch_size * self.windows * self.window

    @property
    def criterion(self) -> Criterion:
        return Criterion(PREDICTION_ERROR, True, self.data.levels)

    @property
    def evaluation_unit(self) -> Literal["steps", "episodes"]:
        return "episodes"

    @property
    def episode_length(self) -> int:
        return self.data.steps

    def init(self, key: PRNGKeyArray) -> MemUPState:
        network_key, key = jax.random.split(key)
        return self.begin(self.network(self.data, key=network_key), key)

    def begin(self, network: Model, key: PRNGKeyArray) -> MemUPState:
        """Returns the state before the first update, with a network of your own."""
        if not isinstance(network, MemoryPredictor):
            raise InputError(f"{type(network).__name__} is not a MemoryPredictor: make it with PredictorNetwork(cell).")
        optimizer = self.optimizer.init(eqx.filter(network, eqx.is_inexact_array))
        key, detector_key = jax.random.split(key)
        detector = self.detector.init(self.data, network, detector_key)
        return MemUPState(network, optimizer, detector, key, jnp.zeros((), int))

    def update(self, state: MemUPState) -> tuple[MemUPState, Outcome]:
        key, draw_key, select_key, pass_key = jax.random.split(state.key, 4)
        drawn = self.data.draw(self.batch_size, draw_key).checked()
        episodes = drawn.padded(self.windows * self.window - drawn.mask.shape[1])
        state, prepared, metrics = self.prepare(state, episodes, select_key)
        state, outcome = self.learn(state, prepared, pass_key)
        return dataclasses.replace(state, key=key), Outcome(outcome.loss, outcome.metrics | metrics)

    def prepare(
        self, state: MemUPState, episodes: Trajectories, key: PRNGKeyArray
    ) -> tuple[MemUPState, PreparedEpisodes, Metrics]:
        """Selects the targets of episodes.

        **Returns:** `(state, prepared, metrics)`: the state after the detector has learnt from the episodes, the episodes
        with their targets, and the metrics of the pass.
        """
        fit_key, select_key = jax.random.split(key)
        errors = prediction_errors(self.data, self.detector.model(state.detector, state.network), episodes)
        scores = self.detector.scores(state.detector, episodes, errors)
        selected = jax.vmap(self.selector)(scores, episodes.mask, example_keys(select_key, len(scores)))
        detector = self.detector.fit(state.detector, episodes, fit_key)
        metrics = error_metrics(errors, episodes) | {"flat_scores": flat_scores(scores, episodes.mask)}
        state = dataclasses.replace(state, detector=detector)
        return state, PreparedEpisodes(episodes, selected, errors.context), metrics

    def learn(self, state: MemUPState, prepared: PreparedEpisodes, key: PRNGKeyArray) -> tuple[MemUPState, Outcome]:
        """Makes one optimizer step for each window of episodes."""
        static = eqx.filter(state, eqx.is_array, inverse=True)
        starts = jnp.arange(0, prepared.episodes.mask.shape[1], self.window)

        def window_from(start):
            return prepared.window(start, self.window, self.prediction_interval)

        def one(running, now):
            arrays, carry = running
            state, (start, key) = eqx.combine(arrays, static), now
            gradient, carry, outcome = self.estimator.gradient(self.step, state.network, carry, window_from(start), key)
            network, optimizer = descend(self.optimizer, state.network, state.optimizer, gradient, outcome.loss)
            network = dataclasses.replace(network, context=state.network.context)  # weight decay would shrink it
            detector = self.detector.after_update(state.detector, network)
            metrics = outcome.metrics | descent_metrics(self.optimizer, gradient, state.updates)
            state = MemUPState(network, optimizer, detector, state.key, state.updates + 1)
            return (eqx.filter(state, eqx.is_array), carry), Outcome(outcome.loss, metrics)

        carry = self.estimator.init(self.step, state.network, window_from(jnp.zeros((), int)))
        running = (eqx.filter(state, eqx.is_array), carry)
        (arrays, _), outcomes = jax.lax.scan(one, running, (starts, jax.random.split(key, len(starts))))
        outcome = Outcome(jnp.mean(outcomes.loss), jax.tree.map(jnp.sum, outcomes.metrics))
        return eqx.combine(arrays, static), outcome

    def network_in(self, state: MemUPState) -> MemoryPredictor:
        return state.network

    def split(self, part: Split = "test") -> "MemUP":
        return dataclasses.replace(self, data=self.data.split(part))

    def evaluate(self, network: MemoryPredictor, key: PRNGKeyArray, amount: int) -> Metrics:
        def one(_, key):
            episodes = self.data.draw(self.batch_size, key)
            return None, log_names(error_metrics(prediction_errors(self.data, network, episodes), episodes))

        return jax.lax.scan(one, None, jax.random.split(key, -(-amount // self.batch_size)))[1]

    def score(self, network: MemoryPredictor, key: PRNGKeyArray, episodes: int, length: int) -> Score | None:
        del length
        drawn = self.data.draw(episodes, key)
        return self.data.score(prediction_errors(self.data, network, drawn).error, drawn)

    def timeline(self, network: MemoryPredictor, key: PRNGKeyArray, steps: int) -> Timeline:
        def one(key):
            episode = jax.tree.map(lambda leaf: leaf[0], self.data.draw(1, key))
            first = jnp.arange(self.data.steps) == 0

            def step(state, now):
                first, now = now
                state, output = network(state, first, now.inputs)
                error = self.data.loss(output, now.targets)[0]
                return state, (output, state, {PREDICTION_ERROR: Tally(error, now.mask.astype(error.dtype))})

            output, state, metrics = jax.lax.scan(step, network.initial(), (first, episode))[1]
            return Timeline(first, jnp.zeros_like(first), episode.inputs.observation, output, state, metrics)

        episodes = jax.vmap(one)(jax.random.split(key, -(-steps // self.data.steps)))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:steps], episodes)
