"""Surprise as the spread of the returns that a trained agent expects."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium.spaces import Discrete
from jaxtyping import Array, Float, PRNGKeyArray

from farback.cell import unroll
from farback.memup.detectors import AbstractDetector
from farback.memup.episodes import AbstractEpisodeSource, Trajectories
from farback.memup.prediction_errors import PredictionErrors
from farback.memup.predictor import MemoryPredictor
from farback.network import Network
from farback.types import InputError


class ReturnSpreadDetector(AbstractDetector):
    """The standard deviation of the return of the step's action, over the quantiles of a trained network of action values,
    such as that of a QR-DQN. The network does not learn from the episodes.

    Quantiles of rescaled values (`value_rescaling`) are compared as they are.

    **Arguments:**

    - `network`: the network, with the output `[action, quantile]`, such as Pretrained('runs/qr-dqn', 'network').

    Reference: Sorokin et al., *Explain my surprise*, NeurIPS 2022, section 4.3, where the QR-DQN that learns to act detects
    the events that the memory learns to predict.
    """

    network: Network

    def init(self, data: AbstractEpisodeSource, network: MemoryPredictor, key: PRNGKeyArray) -> Network:
        del network, key
        if not isinstance(data.action_space, Discrete):
            raise InputError(
                f"ReturnSpreadDetector compares the returns of discrete actions, but the actions of {type(data).__name__} "
                f"are {data.action_space}: give QuantileSpreadDetector()."
            )
        shape, actions = self._shape(data), int(data.action_space.n)
        if shape is None or len(shape) != 2 or shape[0] != actions or shape[1] < 2:
            found = "does not accept these observations" if shape is None else f"has an output of the shape {shape}"
            raise InputError(
                f"ReturnSpreadDetector needs a network with two or more quantiles of the return of each of {actions} "
                f"actions, but this one {found}: train one by DQN with quantiles=32, on the same environment."
            )
        return self.network

    def _shape(self, data: AbstractEpisodeSource) -> tuple[int, ...] | None:
        """The shape of the network's output on the episodes of a source, or None if it does not accept them."""
        try:
            found = eqx.filter_eval_shape(
                lambda: _returns(self.network, data.draw(1, jax.random.key(0)).inputs.observation)
            )
        except (TypeError, ValueError):
            return None
        return found.shape[2:] if isinstance(found, jax.ShapeDtypeStruct) else None

    def model(self, state: Network, network: MemoryPredictor) -> MemoryPredictor:
        del state
        return network

    def scores(self, state: Network, episodes: Trajectories, errors: PredictionErrors) -> Float[Array, "batch time"]:
        del errors
        returns = _returns(state, episodes.inputs.observation)
        chosen = jnp.take_along_axis(returns, episodes.inputs.action[..., None, None], axis=2)[..., 0, :]
        return jnp.where(episodes.mask, jnp.std(chosen, axis=-1), 0)

    def fit(self, state: Network, episodes: Trajectories, key: PRNGKeyArray) -> Network:
        del episodes, key
        return state

    def after_update(self, state: Network, network: MemoryPredictor) -> Network:
        del network
        return state


def _returns(network: Network, observations: Any) -> Any:
    """The output of a network on whole episodes, leading axes `[batch, time]`."""

    def episode(observations):
        features = jax.tree.map(lambda leaf: leaf[:, None], jax.vmap(network.encoder)(observations))
        first = jnp.arange(len(jax.tree.leaves(features)[0]))[:, None] == 0
        state = jax.tree.map(lambda leaf: leaf[None], network.memory.initial())
        output = unroll(network.memory, state, first, features, jnp.ones(first.shape))[1]
        return jax.vmap(network.head)(jax.tree.map(lambda leaf: leaf[:, 0], output))

    return jax.lax.map(episode, observations)
