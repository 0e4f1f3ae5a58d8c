"""Supervised learning on a stream, with a task, a network, an estimator and an optimizer."""

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from gymnasium.spaces import Box
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from farback.algorithm import AbstractAlgorithm, Criterion, Timeline, logged, require_positive
from farback.cell import AbstractCell, output_size
from farback.estimators import BPTT, AbstractEstimator
from farback.network import AbstractEncoder, Network, NetworkStep
from farback.ops.optimizers import Optimizer, descend, descent_metrics
from farback.step import Metrics, Model
from farback.tasks.base import AbstractTask, Source
from farback.types import Carry, InputError, Outcome, Split, Window


class LearnerState(eqx.Module):
    """The whole state of supervised learning: training resumes from it bit for bit."""

    network: Model
    optimizer: PyTree
    carry: Carry
    sources: Source
    key: PRNGKeyArray
    updates: Int[Array, ""]


class ReadoutNetwork(eqx.Module):
    """Makes the network of a task: an encoder, a memory, and a linear readout as its head.

    **Arguments:**

    - `cell`: makes the memory from the number of its inputs, such as `functools.partial(GRU, size=64)`.
    - `encoder`: makes the encoder from the space of the inputs. The default is no encoder.
    """

    cell: Callable[..., AbstractCell]
    encoder: Callable[..., AbstractEncoder] | None = None

    def __call__(self, task: AbstractTask, *, key: PRNGKeyArray) -> Network:
        cell_key, readout_key = jax.random.split(key)
        encoder: Any = eqx.nn.Identity()
        if self.encoder is not None:
            space = Box(-np.inf, np.inf, (task.input_size,))
            encoder = self.encoder(space, key=jax.random.fold_in(key, 2))
        features = jax.eval_shape(encoder, jnp.zeros(task.input_size)).shape[0]
        memory = self.cell(features, key=cell_key)
        readout = eqx.nn.Linear(output_size(memory, features), task.output_size, key=readout_key)
        return Network(encoder, memory, readout)


class AbstractStreamLearner(AbstractAlgorithm):
    """Supervised learning on the stream of a task: all but the update."""

    task: eqx.AbstractVar[AbstractTask]
    network: eqx.AbstractVar[Callable[..., Network]]
    estimator: eqx.AbstractVar[Any]
    optimizer: eqx.AbstractVar[Optimizer]
    batch_size: eqx.AbstractVar[int]

    @property
    @abstractmethod
    def longest_window(self) -> int:
        """The largest number of steps of a window."""

    @property
    def step(self) -> NetworkStep:
        return NetworkStep(self.task.loss)

    @property
    def criterion(self) -> Criterion:
        levels = {"optimum": self.task.optimum, "memoryless": self.task.memoryless}
        return Criterion("losses/loss", True, {name: value for name, value in levels.items() if math.isfinite(value)})

    @property
    def evaluation_unit(self) -> Literal["steps", "episodes"]:
        return "steps"

    @property
    def episode_length(self) -> int | None:
        return self.task.episode_length

    def init(self, key: PRNGKeyArray) -> LearnerState:
        network_key, key, data_key = jax.random.split(key, 3)
        network = self.network(self.task, key=network_key)
        check_network(network, self.task)
        sources = self.task.sources(self.batch_size, data_key)
        window = jax.eval_shape(lambda: self.task.window(sources, 1)[1])
        window = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), window)
        carry = self.estimator.init(self.step, network, window)
        optimizer = self.optimizer.init(eqx.filter(network, eqx.is_inexact_array))
        return LearnerState(network, optimizer, carry, sources, key, jnp.zeros((), int))

    def network_in(self, state: LearnerState) -> Model:
        return state.network

    def evaluate(self, network: Model, key: PRNGKeyArray, amount: int) -> Metrics:
        """The metrics on `amount` fresh steps. Tallies have one entry per window."""

        def one(running, _):
            state, sources = running
            sources, window = self.task.window(sources, self.longest_window)
            window = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), window)
            state, (loss, metrics) = self.step.unroll(network, state, window, jnp.ones(window.first.shape))
            return (state, sources), logged(Outcome(jnp.mean(loss), jax.tree.map(jnp.sum, metrics)))

        start = (self.step.initial(network, self.batch_size), self.task.sources(self.batch_size, key))
        return jax.lax.scan(one, start, None, -(-amount // (self.batch_size * self.longest_window)))[1]

    def timeline(self, network: Model, key: PRNGKeyArray, steps: int) -> Timeline:
        def one(running, _):
            state, source = running
            source, data = self.task.emit(source)
            state, output = self.step.advance(network, state, data.first, self.step.encode(network, data))
            metrics = logged(Outcome(*self.step.loss(network, output, data)))
            return (state, source), Timeline(
                data.first, jnp.array(False), data.inputs, network.head(output), state, metrics
            )

        return jax.lax.scan(one, (network.memory.initial(), self.task.begin(key)), None, steps)[1]

    def split(self, part: Split = "test") -> "AbstractStreamLearner":
        return dataclasses.replace(self, task=self.task.split(part))


class Supervised(AbstractStreamLearner):
    """Supervised learning on the stream of a task, with one step of an optimizer per window of `batch_size` sequences:

        θ ← θ + optimizer(ĝ),      ĝ the estimator's gradient of the mean loss of the window

    Memories and traces pass from each window to the next.

    **Arguments:**

    - `task`: the task.
    - `network`: makes the network, as `network(task, key=key)`.
    - `estimator`: the estimator of the gradient, which sends credit through time.
    - `optimizer`: the optimizer, an optax transformation of the gradient.
    - `batch_size`: the number of sequences of a window.
    - `window`: the number of steps of each sequence per update.
    """

    task: AbstractTask
    network: Callable[..., Network]
    estimator: AbstractEstimator = BPTT()
    optimizer: Optimizer = optax.adam(3e-3)
    batch_size: int = 16
    window: int = 64

    def __check_init__(self):
        require_positive(self, "batch_size", "window")

    @property
    def steps_per_update(self) -> int:
        return self.batch_size * self.window

    @property
    def longest_window(self) -> int:
        return self.window

    def update(self, state: LearnerState) -> tuple[LearnerState, Outcome]:
        sources, window = self.task.window(state.sources, self.window)
        return self.learn(dataclasses.replace(state, sources=sources), window)

    def learn(self, state: LearnerState, window: Window) -> tuple[LearnerState, Outcome]:
        """One update on a given window. Raises if its shapes are wrong or, outside of compiled programs, if it has NaN."""
        window.checked()
        for leaf in jax.tree.leaves(state.carry.state)[:1]:
            if leaf.shape[0] != window.first.shape[0]:
                raise InputError(
                    f"The window has {window.first.shape[0]} sequences, but the state has batch_size = "
                    f"{leaf.shape[0]}: give windows of {leaf.shape[0]} sequences, or init with another batch_size."
                )
        key, estimator_key = jax.random.split(state.key)
        gradient, carry, outcome = self.estimator.gradient(self.step, state.network, state.carry, window, estimator_key)
        network, optimizer = descend(self.optimizer, state.network, state.optimizer, gradient, outcome.loss)
        metrics = outcome.metrics | descent_metrics(self.optimizer, gradient, state.updates)
        state = LearnerState(network, optimizer, carry, state.sources, key, state.updates + 1)
        return state, Outcome(outcome.loss, metrics)


def check_network(network: Any, task: AbstractTask) -> None:
    """Raises unless the model is a network whose output fits a task."""
    name = type(task).__name__
    if not isinstance(getattr(network, "memory", None), AbstractCell):
        raise InputError(
            f"{type(network).__name__} is no network for {name}: give Network(encoder, memory, head) with a cell as memory."
        )
    inputs = jax.eval_shape(lambda: task.emit(task.begin(jax.random.key(0)))[1].inputs)
    inputs = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), inputs)
    output = jax.eval_shape(lambda: network.head(network.memory(network.memory.initial(), network.encoder(inputs))[1]))
    if not isinstance(output, jax.ShapeDtypeStruct) or output.shape != (task.output_size,):
        raise InputError(
            f"The output of the network is {output}, but {name} needs an array of shape ({task.output_size},): give it "
            f"a head such as eqx.nn.Linear(size, {task.output_size}, key=key)."
        )
