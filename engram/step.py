"""The waist: one step of one sequence, in three parts, of which only the middle one touches the past.

    encode   observation -> features                 stateless
    advance  state, features -> state, output        recurrent; the state is reset where an episode begins
    charge   output, targets -> loss, metrics        stateless

Reverse estimators run the stateless parts over a whole window at once and unroll only the memory; forward estimators
take one step after the other and carry a trace of the past. Neither knows what the step is about.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from engram.cell import AbstractCell, State, reset, unroll
from engram.types import Tally, Window

Model = PyTree
Metrics = dict[str, Tally]


class AbstractStep(eqx.Module):
    """How a model is run and charged at one step, for one example."""

    @abstractmethod
    def encode(self, model: Model, data: Window) -> Any:
        """What the memory sees of this step."""

    @abstractmethod
    def memory(self, model: Model) -> AbstractCell:
        """The recurrent part of the model."""

    @abstractmethod
    def charge(self, model: Model, output: Any, data: Window) -> tuple[Float[Array, ""], Metrics]:
        """The loss of this step, and what else is worth knowing about it."""

    def initial(self, model: Model, batch: int) -> State:
        """The state of `batch` memories at the beginning of an episode."""
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), self.memory(model).initial())

    def advance(self, model: Model, state: State, first: Bool[Array, ""], features: Any) -> tuple[State, Any]:
        """One step of the memory, reset before it where an episode begins."""
        cell = self.memory(model)
        return cell(reset(cell, state, first), features)

    def __call__(self, model: Model, state: State, data: Window) -> tuple[State, tuple[Float[Array, ""], Metrics]]:
        """The whole step of one example."""
        state, output = self.advance(model, state, data.first, self.encode(model, data))
        return state, self.charge(model, output, data)

    def unroll(
        self, model: Model, state: State, window: Window, flow: Float[Array, "time batch"]
    ) -> tuple[State, tuple[Float[Array, "time batch"], Metrics]]:
        """The whole window of a batch, leading axes `[time, batch]`: `encode` and `charge` at once, the memory in turn.

        `flow` multiplies the credit that each step sends back to the step before it.
        """
        features = jax.vmap(jax.vmap(lambda data: self.encode(model, data)))(window)
        state, output = unroll(self.memory(model), state, window.first, features, flow)
        return state, jax.vmap(jax.vmap(lambda output, data: self.charge(model, output, data)))(output, window)


class Supervised(AbstractStep):
    """The step of a task: the whole model is the memory, and its output is compared with a target.

    **Arguments:**

    - `loss`: `(output, target) -> (loss, metrics)` for one step of one example.
    """

    loss: Callable[[Any, Any], tuple[Float[Array, ""], Metrics]]

    def encode(self, model: Model, data: Window) -> Any:
        del model
        return data.inputs

    def memory(self, model: Model) -> AbstractCell:
        return model

    def charge(self, model: Model, output: Any, data: Window) -> tuple[Float[Array, ""], Metrics]:
        del model
        return self.loss(output, data.targets)
