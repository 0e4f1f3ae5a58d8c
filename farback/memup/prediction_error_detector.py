"""Surprise as the prediction error of a slow copy of the network."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from farback.memup.detectors import AbstractDetector
from farback.memup.episodes import AbstractEpisodeSource, Trajectories
from farback.memup.prediction_errors import PredictionErrors
from farback.memup.predictor import MemoryPredictor
from farback.types import InputError


class PredictionErrorDetector(AbstractDetector):
    """The prediction error of an exponential moving average of the network:

        θ′ ← d θ′ + (1 − d) θ      after each update

    The network's own error falls as soon as it has learnt an outcome; that of the average stays high for longer.

    **Arguments:**

    - `decay`: d, from 0 (the network itself) to below 1.

    Reference: Sorokin et al., *Explain my surprise*, NeurIPS 2022: the authors' code, with d = 0.995.
    """

    decay: float = 0.995

    def __check_init__(self):
        if not 0 <= self.decay < 1:
            raise InputError(
                f"PredictionErrorDetector(decay={self.decay}): with 1 the average never changes; give 0 <= decay < 1."
            )

    def init(self, data: AbstractEpisodeSource, network: MemoryPredictor, key: PRNGKeyArray) -> PyTree:
        del data, key
        return eqx.filter(network, eqx.is_inexact_array) if self.decay else None

    def model(self, state: PyTree, network: MemoryPredictor) -> MemoryPredictor:
        return eqx.combine(state, network) if self.decay else network

    def scores(self, state: PyTree, episodes: Trajectories, errors: PredictionErrors) -> Float[Array, "batch time"]:
        del state, episodes
        return errors.error

    def fit(self, state: PyTree, episodes: Trajectories, key: PRNGKeyArray) -> PyTree:
        del episodes, key
        return state

    def after_update(self, state: PyTree, network: MemoryPredictor) -> PyTree:
        if not self.decay:
            return None
        parameters = eqx.filter(network, eqx.is_inexact_array)
        return jax.tree.map(lambda old, new: old + (1 - self.decay) * (new - old), state, parameters)
