"""One step of one sequence, in three parts, of which only `advance` is recurrent.

    encode   observation -> features                 stateless
    advance  state, features -> state, output        recurrent, with a reset of the state where an episode begins
    loss     output, targets -> loss, metrics        stateless

Reverse estimators compute the stateless parts of a whole window at once, and unroll only the memory. Forward estimators
compute step by step, and carry a trace of the past. Neither depends on the loss or on the kind of data.
"""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from farback.cell import AbstractCell, State, reset, unroll
from farback.types import Tally, Window

Model = PyTree
Metrics = dict[str, Tally]


class AbstractStep(eqx.Module):
    """How a model computes one step of one example, and the loss of that step."""

    @abstractmethod
    def encoder(self, model: Model) -> PyTree:
        """The part of the model that computes `encode`, with all parameters that the features depend on."""

    @abstractmethod
    def encode(self, model: Model, data: Window) -> Any:
        """The features of this step, which are the input of the memory."""

    @abstractmethod
    def memory(self, model: Model) -> AbstractCell:
        """The recurrent part of the model."""

    @abstractmethod
    def loss(self, model: Model, output: Any, data: Window) -> tuple[Float[Array, ""], Metrics]:
        """Returns (loss, metrics) of this step."""

    def initial(self, model: Model, batch: int) -> State:
        """The state of `batch` memories at the beginning of an episode."""
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), self.memory(model).initial())

    def advance(self, model: Model, state: State, first: Bool[Array, ""], features: Any) -> tuple[State, Any]:
        """One step of the memory, after a reset where an episode begins."""
        cell = self.memory(model)
        return cell(reset(cell, state, first), features)

    def __call__(self, model: Model, state: State, data: Window) -> tuple[State, tuple[Float[Array, ""], Metrics]]:
        """The whole step of one example. Returns (state, (loss, metrics))."""
        state, output = self.advance(model, state, data.first, self.encode(model, data))
        return state, self.loss(model, output, data)

    def unroll(
        self, model: Model, state: State, window: Window, flow: Float[Array, "time batch"]
    ) -> tuple[State, tuple[Float[Array, "time batch"], Metrics]]:
        """A whole window of a batch, leading axes `[time, batch]`. Returns (state, (losses, metrics)).

        `encode` and `loss` are computed for all steps at once, and the memory is unrolled. `flow` multiplies the credit
        from each step to the step before it.
        """
        features = jax.vmap(jax.vmap(lambda data: self.encode(model, data)))(window)
        state, output = unroll(self.memory(model), state, window.first, features, flow)
        return state, jax.vmap(jax.vmap(lambda output, data: self.loss(model, output, data)))(output, window)
