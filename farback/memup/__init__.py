"""MemUP: memories trained to predict surprising outcomes of later steps."""

from farback.memup.agent import MemUPAgent as MemUPAgent
from farback.memup.algorithm import MemUP as MemUP
from farback.memup.detectors import AbstractDetector as AbstractDetector
from farback.memup.env_episodes import PolicyEpisodes as PolicyEpisodes
from farback.memup.env_episodes import RandomEpisodes as RandomEpisodes
from farback.memup.episodes import AbstractEpisodeSource as AbstractEpisodeSource
from farback.memup.episodes import TaskEpisodes as TaskEpisodes
from farback.memup.episodes import Trajectories as Trajectories
from farback.memup.gaussian_likelihood import GaussianLikelihood as GaussianLikelihood
from farback.memup.prediction_error_detector import PredictionErrorDetector as PredictionErrorDetector
from farback.memup.predictor import MemoryPredictor as MemoryPredictor
from farback.memup.predictor import PredictionHead as PredictionHead
from farback.memup.predictor import PredictorInputs as PredictorInputs
from farback.memup.predictor import PredictorNetwork as PredictorNetwork
from farback.memup.quantile_spread_detector import QuantileSpreadDetector as QuantileSpreadDetector
from farback.memup.return_spread_detector import ReturnSpreadDetector as ReturnSpreadDetector
from farback.memup.selectors import AbstractTargetSelector as AbstractTargetSelector
from farback.memup.selectors import RandomK as RandomK
from farback.memup.selectors import TopK as TopK
from farback.memup.stored_episodes import StoredEpisodes as StoredEpisodes
from farback.memup.stored_episodes import save_episodes as save_episodes
