"""The step that an estimator differentiates for MemUP: one block of an episode, and the predictions at its end."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from farback.cell import AbstractCell
from farback.memup.episodes import AbstractEpisodeSource
from farback.memup.predictor import MemoryPredictor
from farback.memup.strided import Strided
from farback.step import AbstractStep, Metrics
from farback.types import Tally, Window


class PredictionTargets(NamedTuple):
    """The targets of a block: the outcomes of later steps, and of its own steps.

    - `inputs`, `context`, `outcome`: those of the later steps; leaves `[targets, ...]`.
    - `weight`: the weight of each later step, 1 or 0.
    - `block_context`, `block_outcome`: those of the steps of the block; leaves `[block, ...]`.
    - `block_mask`: the weight of each step of the block, 1 or 0.
    """

    inputs: Any
    context: Any
    outcome: Any
    weight: Float[Array, "*steps targets"]
    block_context: Any
    block_outcome: Any
    block_mask: Float[Array, "*steps block"]


class MemUPStep(AbstractStep):
    """The step of a `MemoryPredictor`: the memory runs through one block of an episode, and the head predicts at its end.

    For blocks of one step, the memory is the cell itself, so that estimators can use its structure.

    **Arguments:**

    - `data`: the source of the episodes, which defines the loss.
    - `interval`: the time steps of a block.
    - `predict_current`: whether to predict the outcomes of the block's own steps too.
    """

    data: AbstractEpisodeSource
    interval: int
    predict_current: bool

    def encoder(self, model: MemoryPredictor) -> PyTree:
        return model.encoder

    def encode(self, model: MemoryPredictor, data: Window) -> Any:
        features = jax.vmap(model.encoder)(data.inputs.observation)
        return features if self.interval > 1 else jax.tree.map(lambda leaf: leaf[0], features)

    def memory(self, model: MemoryPredictor) -> AbstractCell:
        return Strided(model.memory) if self.interval > 1 else model.memory

    def loss(self, model: MemoryPredictor, output: Any, data: Window) -> tuple[Float[Array, ""], Metrics]:
        remembered = output if self.interval > 1 else jax.tree.map(lambda leaf: leaf[None], output)
        last = jax.tree.map(lambda leaf: leaf[-1], remembered)
        targets: PredictionTargets = data.targets

        def error(weight, remembered, context, inputs, outcome):
            return weight * self.data.loss(model.head(remembered, context, model.query(inputs)), outcome)[0]

        later = jax.vmap(error, in_axes=(0, None, 0, 0, 0))(
            targets.weight, last, targets.context, targets.inputs, targets.outcome
        )
        metrics = {"losses/target_prediction": Tally(jnp.sum(later), jnp.sum(targets.weight))}
        if not self.predict_current:
            return jnp.sum(later), metrics
        current = jax.vmap(error)(targets.block_mask, remembered, targets.block_context, data.inputs, targets.block_outcome)
        metrics["losses/current_prediction"] = Tally(jnp.sum(current), jnp.sum(targets.block_mask))
        return jnp.sum(later) + jnp.sum(current), metrics
