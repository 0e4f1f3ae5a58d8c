"""The model of every algorithm: an encoder, a memory and a head."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree

from farback.cell import AbstractCell
from farback.step import AbstractStep, Metrics, Model
from farback.types import Window


class AbstractEncoder(eqx.Module):
    """Maps an observation of a space to the features that a memory receives. It is written for one example."""

    @abstractmethod
    def __call__(self, observation: Any) -> Any:
        """The features of one observation."""

    def observed(self, observations: Any) -> "AbstractEncoder":
        """Returns the encoder after observations, leading axes `[batch, time]`, which may change its statistics."""
        del observations
        return self


def observed(model: Model, observations: Any) -> Model:
    """Returns a model whose encoders have seen observations, leading axes `[batch, time]`."""

    def is_encoder(part):
        return isinstance(part, AbstractEncoder)

    return jax.tree.map(lambda part: part.observed(observations) if is_encoder(part) else part, model, is_leaf=is_encoder)


class Network(eqx.Module):
    """A model of three parts:

        features = encoder(observation),      state', output = memory(state, features),      head(output)

    **Arguments:**

    - `encoder`: maps an observation to features, without memory. With `eqx.nn.Identity()` the features are the observation.
    - `memory`: a cell.
    - `head`: maps the output of the memory to the input of the loss: logits, `(policy, value)`, and so on.
    """

    encoder: Callable[[Any], Any]
    memory: AbstractCell
    head: Callable[[Any], Any]


class NetworkStep(AbstractStep):
    """The step of a `Network`, or of any model with the attributes `encoder`, `memory` and `head`.

    **Arguments:**

    - `loss_fn`: maps (output, target) of one step of one example to (loss, metrics).
    """

    loss_fn: Callable[[Any, Any], tuple[Float[Array, ""], Metrics]]

    def encoder(self, model: Any) -> PyTree:
        return model.encoder

    def encode(self, model: Any, data: Window) -> Any:
        return model.encoder(data.inputs)

    def memory(self, model: Any) -> AbstractCell:
        return model.memory

    def loss(self, model: Any, output: Any, data: Window) -> tuple[Float[Array, ""], Metrics]:
        return self.loss_fn(model.head(output), data.targets)
