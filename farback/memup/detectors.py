"""Detectors score how surprising the outcomes of steps are."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from farback.memup.episodes import AbstractEpisodeSource, Trajectories
from farback.memup.prediction_errors import PredictionErrors
from farback.memup.predictor import MemoryPredictor


class AbstractDetector(eqx.Module):
    """Scores how surprising the outcomes of steps are. It may have a state, which learns from episodes."""

    @abstractmethod
    def init(self, data: AbstractEpisodeSource, network: MemoryPredictor, key: PRNGKeyArray) -> PyTree:
        """Returns the detector's state before the first update."""

    @abstractmethod
    def model(self, state: PyTree, network: MemoryPredictor) -> MemoryPredictor:
        """Returns the network whose prediction errors `scores` receives."""

    @abstractmethod
    def scores(self, state: PyTree, episodes: Trajectories, errors: PredictionErrors) -> Float[Array, "batch time"]:
        """Returns the score of each step, given the prediction errors of `model`."""

    @abstractmethod
    def fit(self, state: PyTree, episodes: Trajectories, key: PRNGKeyArray) -> PyTree:
        """Returns the detector's state after it has learnt from episodes."""

    @abstractmethod
    def after_update(self, state: PyTree, network: MemoryPredictor) -> PyTree:
        """Returns the detector's state after an update of the network."""
