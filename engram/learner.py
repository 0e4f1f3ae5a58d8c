"""One update on a stream: a task's step, an estimator, an optimiser."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

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
        _, window = self.task.window(self.task.sources(batch, key), 1)
        carry = self.estimator.init(self.step, model, window)
        optimiser = self.optimiser.init(eqx.filter(model, eqx.is_inexact_array))
        return Learning(model, optimiser, carry, key, jnp.zeros((), int))

    def update(self, state: Learning, window: Window) -> tuple[Learning, Outcome]:
        """One update on a window, which is looked at for shapes and NaN first."""
        window.checked()
        expected, given = jax.tree.leaves(state.carry.state)[0].shape[0], window.first.shape[0]
        if given != expected:
            raise InputError(f"The window has {given} sequences, but the learner was made for {expected}: init it anew.")
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
        key, estimator_key = jax.random.split(state.key)
        gradient, carry, outcome = self.estimator.gradient(self.step, state.model, state.carry, window, estimator_key)
        parameters = eqx.filter(state.model, eqx.is_inexact_array)
        changes, optimiser = self.optimiser.update(gradient, state.optimiser, parameters)
        model = eqx.apply_updates(state.model, changes)
        return Learning(model, optimiser, carry, key, state.updates + 1), outcome


@eqx.filter_jit
def _update(learner: Learner, state: Learning, window: Window) -> tuple[Learning, Outcome]:
    return learner._update(state, window)
