"""ARTBP as in the thesis, with one update at each truncation of a stream."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.algorithm import require_positive
from farback.estimators import ARTBP
from farback.estimators.reverse import reverse_gradient
from farback.learner import AbstractStreamLearner, LearnerState
from farback.network import Network, NetworkStep
from farback.ops.optimizers import Optimizer, descend, descent_metrics
from farback.step import Model
from farback.tasks.base import AbstractTask
from farback.types import Carry, Outcome, Window


class SegmentwiseARTBP(AbstractStreamLearner):
    """Supervised learning on the stream of a task, with one update per truncation of ARTBP, on the *sum* of the losses
    since the last truncation.

    At fixed parameters, the gradient is unbiased for the loss of the whole stream: no end of a window cuts credit. All
    sequences of the batch are truncated at the same steps. A segment is computed in the shortest window that holds it,
    of windows of 16, 32, 64, … and `longest` steps.

    Use it to reproduce the thesis, or where credit must not be cut at the end of a window. In `Supervised` with `ARTBP`
    each sequence has its own truncations, and all updates have windows of one length.

    **Arguments:**

    - `task`: the task.
    - `network`: makes the network, as `network(task, key=key)`.
    - `estimator`: the ARTBP estimator, which sets the distribution of the truncations.
    - `optimizer`: the optimizer, an optax transformation of the gradient.
    - `batch_size`: the number of sequences.
    - `longest`: the largest number of steps of a segment; longer ones are cut, which adds bias. Make this rare:
      P(length > L) falls as L^{1−α}.

    Reference: Tallec and Ollivier, *Unbiasing truncated backpropagation through time*, 2017; thesis chapter 4.
    """

    task: AbstractTask
    network: Callable[..., Network]
    estimator: ARTBP = ARTBP(16)
    optimizer: Optimizer = optax.adam(3e-3)
    batch_size: int = 16
    longest: int = 1024

    def __check_init__(self):
        require_positive(self, "batch_size", "longest")

    @property
    def steps_per_update(self) -> int:
        return round(float(self.estimator.mean_length)) * self.batch_size

    @property
    def longest_window(self) -> int:
        return self.longest

    @property
    def vectorize_seeds(self) -> bool:
        return False  # seeds draw different lengths: on a batch axis, all would compute the longest window

    def update(self, state: LearnerState) -> tuple[LearnerState, Outcome]:
        key, draw_key = jax.random.split(state.key)
        length, flow = self.segment(draw_key)
        gradient, outcome = self.gradient(state, length, flow)
        memory, sources = self.after(state, length)
        network, optimizer = descend(self.optimizer, state.network, state.optimizer, gradient, outcome.loss)
        metrics = outcome.metrics | descent_metrics(self.optimizer, gradient, state.updates)
        state = LearnerState(network, optimizer, Carry(memory), sources, key, state.updates + 1)
        return state, Outcome(outcome.loss, metrics)

    def sizes(self) -> list[int]:
        """The lengths of the windows that segments are computed in."""
        size, found = min(16, self.longest), []
        while size < self.longest:
            found.append(size)
            size *= 2
        return [*found, self.longest]

    def segment(self, key: PRNGKeyArray) -> tuple[Int[Array, ""], Float[Array, " longest"]]:
        """Returns (length, flow): the length of a segment, and the factors on the credit within it."""
        since = jnp.arange(1, self.longest + 1, dtype=float)
        c = self.estimator.odds(since)
        truncated = jax.random.uniform(key, since.shape) < c
        length = jnp.where(truncated.any(), jnp.argmax(truncated) + 1, self.longest)
        return length, jnp.roll(1 / (1 - c), 1)

    def gradient(
        self, state: LearnerState, length: Int[Array, ""], flow: Float[Array, " longest"]
    ) -> tuple[Model, Outcome]:
        """Returns (gradient, outcome): the gradient of the sum of a segment's losses, and their mean with the metrics."""
        sizes = self.sizes()
        branches = [partial(self._within, size, state, length, flow) for size in sizes]
        return jax.lax.switch(jnp.searchsorted(jnp.array(sizes), length), branches)

    def _within(self, size: int, state: LearnerState, length: Any, flow: Any) -> tuple[Model, Outcome]:
        """`gradient`, computed in a window of `size` steps, of which the first `length` count."""

        def weighted(output, target):
            target, weight = target
            loss, metrics = self.task.loss(output, target)
            return weight.astype(loss.dtype) * loss, jax.tree.map(lambda leaf: weight.astype(leaf.dtype) * leaf, metrics)

        _, window = self.task.window(state.sources, size)
        counts = jnp.broadcast_to(jnp.arange(size) < length, window.first.shape)
        window = Window(window.first, window.inputs, (window.targets, counts))
        flow = jnp.broadcast_to(jnp.where(jnp.arange(size) < length, flow[:size], 0), window.first.shape)
        gradient, _, outcome = reverse_gradient(NetworkStep(weighted), state.network, state.carry, window, flow)
        gradient = jax.tree.map(lambda leaf: size * leaf, gradient)
        return gradient, Outcome(outcome.loss * size / length, outcome.metrics)

    def after(self, state: LearnerState, length: Int[Array, ""]) -> tuple[Any, Any]:
        """Returns (memory, sources) at the end of a segment."""

        def one(_, running):
            memory, sources = running
            sources, data = jax.vmap(self.task.emit)(sources)
            memory, _ = jax.vmap(lambda memory, data: self.step(state.network, memory, data))(memory, data)
            return memory, sources

        return jax.lax.fori_loop(0, length, one, (state.carry.state, state.sources))
