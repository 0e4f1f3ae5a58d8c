"""Surprise as the spread of the possible outcomes of a query."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from farback.encoders import features_size
from farback.envs.spaces import HashableSpace
from farback.memup.detectors import AbstractDetector
from farback.memup.episodes import AbstractEpisodeSource, Trajectories
from farback.memup.prediction_errors import PredictionErrors
from farback.memup.predictor import MemoryPredictor, PredictorInputs, query_of, query_size
from farback.ops.optimizers import descend
from farback.ops.quantiles import quantile_loss
from farback.types import InputError


class QuantileNetwork(eqx.Module):
    """Maps the inputs of a step to quantiles of its outcome, by a network on the query."""

    encoder: Callable[[Any], Any]
    action_space: HashableSpace | None = eqx.field(static=True)
    quantiles: eqx.nn.MLP

    def __call__(self, x: PredictorInputs) -> Float[Array, " quantiles"]:
        return self.quantiles(query_of(self.encoder(x.observation), self.action_space, x.action))


class QuantileState(NamedTuple):
    """The network, and the state of its optimizer."""

    network: QuantileNetwork
    optimizer: PyTree


class QuantileSpreadDetector(AbstractDetector):
    """The standard deviation of N quantiles of a step's outcome given its query alone. A network learns the quantiles by
    quantile regression on the steps of each pass. It has an encoder of its own, which begins as that of the memory.

    For scalar outcomes, such as returns. Unlike a prediction error, the spread does not depend on the outcome that
    occurred, and it does not shrink as the memory learns.

    **Arguments:**

    - `quantiles`: N.
    - `units`: the units of each of the network's two hidden layers.
    - `learning_rate`: the learning rate of Adam.
    - `updates`: the updates of the network in a pass.
    - `batch_size`: the steps in the batch of an update, drawn with replacement.

    Reference: Dabney, Rowland, Bellemare and Munos, *Distributional reinforcement learning with quantile regression*, AAAI
    2018. MemUP's ViZDoom agent uses its own quantiles in this way.
    """

    quantiles: int = 32
    units: int = 64
    learning_rate: float = 1e-3
    updates: int = 20
    batch_size: int = 1024

    def __check_init__(self):
        for name in ("quantiles", "units", "updates", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"QuantileSpreadDetector({name}={getattr(self, name)}): give {name} >= 1.")

    @property
    def optimizer(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)

    def init(self, data: AbstractEpisodeSource, network: MemoryPredictor, key: PRNGKeyArray) -> QuantileState:
        target = jax.eval_shape(lambda: data.draw(1, key).targets)
        is_array = isinstance(target, jax.ShapeDtypeStruct)
        if not is_array or target.ndim != 2 or not jnp.issubdtype(target.dtype, jnp.inexact):
            raise InputError(
                f"QuantileSpreadDetector needs scalar outcomes, such as returns, but those of {type(data).__name__} "
                f"are not scalars: give PredictionErrorDetector()."
            )
        size = query_size(features_size(network.encoder, data.observation_space), data.action_space)
        mlp = eqx.nn.MLP(size, self.quantiles, self.units, 2, key=key)
        found = QuantileNetwork(network.encoder, network.action_space, mlp)
        return QuantileState(found, self.optimizer.init(eqx.filter(found, eqx.is_inexact_array)))

    def model(self, state: QuantileState, network: MemoryPredictor) -> MemoryPredictor:
        del state
        return network

    def scores(self, state: QuantileState, episodes: Trajectories, errors: PredictionErrors) -> Float[Array, "batch time"]:
        del errors
        spread = jax.lax.map(lambda inputs: jnp.std(jax.vmap(state.network)(inputs), axis=1), episodes.inputs)
        return jnp.where(episodes.mask, spread, 0)

    def fit(self, state: QuantileState, episodes: Trajectories, key: PRNGKeyArray) -> QuantileState:
        mask = episodes.mask.reshape(-1)
        inputs, target = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (episodes.inputs, episodes.targets))
        probabilities = mask / jnp.maximum(mask.sum(), 1)
        static = eqx.filter(state, eqx.is_array, inverse=True)

        def loss(network, chosen):
            drawn = jax.tree.map(lambda leaf: leaf[chosen], (inputs, target))
            return jnp.mean(jax.vmap(lambda x, target: quantile_loss(network(x), target[None]))(*drawn))

        def one(arrays, key):
            network, optimizer = eqx.combine(arrays, static)
            chosen = jax.random.choice(key, len(mask), (self.batch_size,), p=probabilities)
            value, gradient = eqx.filter_value_and_grad(loss)(network, chosen)
            stepped = QuantileState(*descend(self.optimizer, network, optimizer, gradient, value))
            return eqx.filter(stepped, eqx.is_array), None

        arrays, _ = jax.lax.scan(one, eqx.filter(state, eqx.is_array), jax.random.split(key, self.updates))
        return eqx.combine(arrays, static)

    def after_update(self, state: QuantileState, network: MemoryPredictor) -> QuantileState:
        del network
        return state
