"""The prediction errors of a network on whole episodes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from farback.memup.episodes import AbstractEpisodeSource, Trajectories
from farback.memup.predictor import MemoryPredictor
from farback.step import Metrics
from farback.types import Tally

CHUNK = 64
"""The most steps whose predictions are in memory at once."""


class PredictionErrors(NamedTuple):
    """The prediction errors of a network on episodes.

    - `error`: the loss of each step, 0 outside of the mask.
    - `context`: the context of each step.
    - `metrics`: the metrics of the loss, summed over all steps.
    """

    error: Float[Array, "batch time"]
    context: Any
    metrics: Metrics


def prediction_errors(data: AbstractEpisodeSource, network: MemoryPredictor, episodes: Trajectories) -> PredictionErrors:
    """Runs a network through episodes, in chunks of at most `CHUNK` steps."""
    batch, steps = episodes.mask.shape
    count = -(-steps // CHUNK)
    size = -(-steps // count)  # chunks of equal size need the least padding
    whole = count * size
    time_major = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), episodes)
    padded = jax.tree.map(lambda leaf: jnp.pad(leaf, [(0, whole - steps)] + [(0, 0)] * (leaf.ndim - 1)), time_major)
    chunks = jax.tree.map(lambda leaf: leaf.reshape(count, size, *leaf.shape[1:]), padded)

    def one(state, chunk):
        state, (remembered, context, query) = network.unroll(state, jnp.zeros(chunk.mask.shape, bool), chunk.inputs)

        def loss(remembered, context, query, target, mask):
            error, metrics = data.loss(network.head(remembered, context, query), target)
            return jax.tree.map(lambda leaf: jnp.where(mask, leaf, 0), (error, metrics))

        error, metrics = jax.vmap(jax.vmap(loss))(remembered, context, query, chunk.targets, chunk.mask)
        return state, ((error, context), jax.tree.map(jnp.sum, metrics))

    start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), network.initial())
    _, (found, metrics) = jax.lax.scan(one, start, chunks)
    error, context = jax.tree.map(lambda leaf: jnp.swapaxes(leaf.reshape(whole, *leaf.shape[2:])[:steps], 0, 1), found)
    return PredictionErrors(error, context, jax.tree.map(jnp.sum, metrics))


def error_metrics(errors: PredictionErrors, episodes: Trajectories) -> Metrics:
    """Returns the mean prediction error, and the error at the last step of each episode."""
    error, mask = errors.error, episodes.mask.astype(errors.error.dtype)
    last = jnp.sum(episodes.mask, axis=1) - 1
    final, there = jnp.take_along_axis(error, last[:, None], axis=1)[:, 0], (last >= 0).astype(error.dtype)
    return errors.metrics | {
        "prediction_error": Tally(jnp.sum(error), jnp.sum(mask)),
        "last_prediction_error": Tally(jnp.sum(there * final), jnp.sum(there)),
    }
