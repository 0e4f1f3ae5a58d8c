"""One update to each truncation: ARTBP on a stream, as the thesis has it."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from engram.descent import descend
from engram.estimators import ARTBP
from engram.estimators.reverse import reverse_gradient
from engram.learner import Learning
from engram.runs.log import Tallies
from engram.runs.trial import AbstractTrial, Aim, Scene, Streaming, StreamTrial
from engram.step import Model, Supervised
from engram.tasks.base import Part
from engram.types import Carry, InputError, Outcome, Window


class SegmentTrial(AbstractTrial):
    """A learner on a stream, which updates wherever ARTBP truncates, on the *sum* of the losses since it did so last.

    The gradient is unbiased for the loss of the whole stream, while the parameters do not move: no end of a window cuts it
    short. All sequences of the batch are truncated together. A segment is computed in the smallest of a few windows, of
    lengths that double, into which it fits.

    **Arguments:**

    - `stream`: the learner, whose estimator is `ARTBP`, the model and the batch; its `length` is the longest segment, at
      which credit is cut by force. Let it be long enough that this is rare: P(length > L) falls as L^{1−α}.
    """

    stream: StreamTrial

    def __check_init__(self):
        if not isinstance(self.stream.learner.estimator, ARTBP):
            raise InputError("Segments are those of ARTBP: give a learner with the estimator ARTBP(mean_length).")

    @property
    def steps(self) -> int:
        return round(self.estimator.mean_length) * self.stream.batch

    @property
    def aim(self) -> Aim:
        return self.stream.aim

    @property
    def abreast(self) -> bool:
        return False  # each seed draws lengths of its own: together, all would be computed as long as the longest window

    @property
    def estimator(self) -> ARTBP:
        estimator = self.stream.learner.estimator
        assert isinstance(estimator, ARTBP)
        return estimator

    def init(self, key: PRNGKeyArray) -> Streaming:
        return self.stream.init(key)

    def model(self, state: Streaming) -> Model:
        return self.stream.model(state)

    def evaluate(self, model: Model, key: PRNGKeyArray, updates: int) -> Tallies:
        return self.stream.evaluate(model, key, updates)

    def watch(self, model: Model, key: PRNGKeyArray, steps: int) -> Scene:
        return self.stream.watch(model, key, steps)

    def held_out(self, part: Part = "test") -> "SegmentTrial":
        return dataclasses.replace(self, stream=self.stream.held_out(part))

    def update(self, state: Streaming) -> tuple[Streaming, Outcome]:
        learning = state.learning
        key, draw_key = jax.random.split(learning.key)
        length, flow = self.segment(draw_key)
        gradient, outcome = self.gradient(state, length, flow)
        memory, sources = self.after(state, length)
        optimise = self.stream.learner.optimiser
        model, optimiser = descend(optimise, learning.model, learning.optimiser, gradient, outcome.loss)
        return Streaming(Learning(model, optimiser, Carry(memory), key, learning.updates + 1), sources), outcome

    def sizes(self) -> list[int]:
        """The lengths of the windows that segments are computed in."""
        size, found = min(16, self.stream.length), []
        while size < self.stream.length:
            found.append(size)
            size *= 2
        return [*found, self.stream.length]

    def segment(self, key: PRNGKeyArray) -> tuple[Int[Array, ""], Float[Array, " longest"]]:
        """The length of a segment, and the factors on the credit that passes within it."""
        since = jnp.arange(1, self.stream.length + 1, dtype=float)
        c = self.estimator.odds(since)
        truncated = jax.random.uniform(key, since.shape) < c
        length = jnp.where(truncated.any(), jnp.argmax(truncated) + 1, self.stream.length)
        return length, jnp.roll(1 / (1 - c), 1)

    def gradient(self, state: Streaming, length: Int[Array, ""], flow: Float[Array, " longest"]) -> tuple[Model, Outcome]:
        """The gradient of the sum of a segment's losses."""
        sizes = self.sizes()
        branches = [partial(self._within, size, state, length, flow) for size in sizes]
        return jax.lax.switch(jnp.searchsorted(jnp.array(sizes), length), branches)

    def _within(self, size: int, state: Streaming, length: Any, flow: Any) -> tuple[Model, Outcome]:
        """The same, in a window of `size` steps, of which the first `length` count."""
        learner = self.stream.learner

        def weighted(output, target):
            target, weight = target
            loss, metrics = learner.task.loss(output, target)
            return weight.astype(loss.dtype) * loss, jax.tree.map(lambda leaf: weight.astype(leaf.dtype) * leaf, metrics)

        _, window = learner.task.window(state.sources, size)
        counts = jnp.broadcast_to(jnp.arange(size) < length, window.first.shape)
        window = Window(window.first, window.inputs, (window.targets, counts))
        flow = jnp.broadcast_to(jnp.where(jnp.arange(size) < length, flow[:size], 0), window.first.shape)
        learning = state.learning
        gradient, _, outcome = reverse_gradient(Supervised(weighted), learning.model, learning.carry, window, flow)
        gradient = jax.tree.map(lambda leaf: size * leaf, gradient)
        return gradient, Outcome(outcome.loss * size / length, outcome.metrics)

    def after(self, state: Streaming, length: Int[Array, ""]) -> tuple[Any, Any]:
        """The memory and the sources when a segment is over."""
        learning, learner = state.learning, self.stream.learner

        def one(_, running):
            memory, sources = running
            sources, data = jax.vmap(learner.task.emit)(sources)
            memory, _ = jax.vmap(lambda memory, data: learner.step(learning.model, memory, data))(memory, data)
            return memory, sources

        return jax.lax.fori_loop(0, length, one, (learning.carry.state, state.sources))
