"""One update on a stream: a task's step, an estimator, an optimiser."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from engram.cell import AbstractCell
from engram.descent import descend
from engram.estimators.base import AbstractEstimator
from engram.step import Model, Supervised
from engram.tasks.base import AbstractTask, Source
from engram.types import Carry, InputError, Outcome, Window


class Learning(eqx.Module):
    """The whole state of a learner: all that is needed to go on exactly as if nothing had come between."""

    model: Model
    optimiser: PyTree
    carry: Carry
    key: PRNGKeyArray
    updates: Int[Array, ""]


class Learner(eqx.Module):
    """Learns a task from its stream, one window an update.

    **Arguments:**

    - `task`: what is learnt.
    - `estimator`: how credit passes through time.
    - `optimiser`: an optax transformation of the gradient.
    """

    task: AbstractTask
    estimator: AbstractEstimator
    optimiser: optax.GradientTransformation

    @property
    def step(self) -> Supervised:
        return Supervised(self.task.loss)

    def init(self, model: Model, batch: int, *, key: PRNGKeyArray) -> Learning:
        """The state before the first update, for `batch` sequences at once."""
        if batch < 1:
            raise InputError(f"batch={batch}: a learner learns from 1 sequence at least; give batch >= 1.")
        window = jax.eval_shape(lambda: self.task.window(self.task.sources(batch, jax.random.key(0)), 1)[1])
        window = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), window)
        self._check_output(model, window)
        carry = self.estimator.init(self.step, model, window)
        optimiser = self.optimiser.init(eqx.filter(model, eqx.is_inexact_array))
        return Learning(model, optimiser, carry, key, jnp.zeros((), int))

    def _check_output(self, model, window):
        if not isinstance(model, AbstractCell):
            raise InputError(f"{type(model).__name__} is no cell: give a cell, or a Chain of layers.")
        now = jax.tree.map(lambda leaf: leaf[0, 0], window)
        output = jax.eval_shape(lambda: model(model.initial(), now.inputs)[1])
        wanted = (self.task.output_size,)
        if not isinstance(output, jax.ShapeDtypeStruct) or output.shape != wanted:
            raise InputError(
                f"The model puts out {output}, but {type(self.task).__name__} wants an array of shape {wanted}: end the "
                f"model with a readout, such as Chain(cell, eqx.nn.Linear(size, {self.task.output_size}, key=key))."
            )

    def update(self, state: Learning, window: Window) -> tuple[Learning, Outcome]:
        """One update on a window, which is looked at for shapes and NaN first."""
        window.checked()
        return _update(self, state, window)

    @eqx.filter_jit
    def train(self, state: Learning, sources: Source, updates: int, length: int) -> tuple[Learning, Source, Outcome]:
        """Many updates in one compiled program, on consecutive windows of `length` steps; outcomes are stacked."""
        dynamic, static = eqx.partition(state, eqx.is_array)

        def one(running, _):
            dynamic, sources = running
            sources, window = self.task.window(sources, length)
            state, outcome = self._update(eqx.combine(dynamic, static), window)
            return (eqx.filter(state, eqx.is_array), sources), outcome

        (dynamic, sources), outcomes = jax.lax.scan(one, (dynamic, sources), None, updates)
        return eqx.combine(dynamic, static), sources, outcomes

    def _update(self, state: Learning, window: Window) -> tuple[Learning, Outcome]:
        for leaf in jax.tree.leaves(state.carry.state)[:1]:
            if leaf.shape[0] != window.first.shape[0]:
                raise InputError(
                    f"The window has {window.first.shape[0]} sequences, but the learner was made for {leaf.shape[0]}: "
                    f"give as many, or init it anew."
                )
        key, estimator_key = jax.random.split(state.key)
        gradient, carry, outcome = self.estimator.gradient(self.step, state.model, state.carry, window, estimator_key)
        model, optimiser = descend(self.optimiser, state.model, state.optimiser, gradient, outcome.loss)
        return Learning(model, optimiser, carry, key, state.updates + 1), outcome


@eqx.filter_jit
def _update(learner: Learner, state: Learning, window: Window) -> tuple[Learning, Outcome]:
    return learner._update(state, window)
