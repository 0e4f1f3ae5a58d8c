"""What is charged at a step when it is more than the task's own loss."""

from engram.objectives.detectors import AbstractDetector as AbstractDetector
from engram.objectives.detectors import Slow as Slow
from engram.objectives.detectors import Spread as Spread
from engram.objectives.episodes import AbstractEpisodes as AbstractEpisodes
from engram.objectives.episodes import OfTask as OfTask
from engram.objectives.episodes import Recording as Recording
from engram.objectives.gaussian import Gaussian as Gaussian
from engram.objectives.play import AbstractPlay as AbstractPlay
from engram.objectives.play import RandomPlay as RandomPlay
from engram.objectives.stored import Stored as Stored
from engram.objectives.stored import store as store
from engram.objectives.surprise import AbstractChoice as AbstractChoice
from engram.objectives.surprise import AtRandom as AtRandom
from engram.objectives.surprise import Surprising as Surprising
