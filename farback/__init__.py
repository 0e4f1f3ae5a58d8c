"""Farback trains models and agents that remember further back than they can backpropagate.

Any recurrent cell × any way of sending credit through time × any task or environment × any learning algorithm,
each chosen by name.
"""

from farback import agents as agents
from farback import cells as cells
from farback import encoders as encoders
from farback import envs as envs
from farback import estimators as estimators
from farback import evolution as evolution
from farback import memup as memup
from farback import strategies as strategies
from farback import tasks as tasks
from farback.acting import AbstractPolicy as AbstractPolicy
from farback.agents import PPO as PPO
from farback.agents import TRPO as TRPO
from farback.agents import ActorCriticNetwork as ActorCriticNetwork
from farback.agents import PolicyGradient as PolicyGradient
from farback.algorithm import AbstractAlgorithm as AbstractAlgorithm
from farback.cell import AbstractCell as AbstractCell
from farback.envs import AbstractEnv as AbstractEnv
from farback.estimators import AbstractEstimator as AbstractEstimator
from farback.learner import ReadoutNetwork as ReadoutNetwork
from farback.learner import Supervised as Supervised
from farback.memup import MemUP as MemUP
from farback.memup import MemUPAgent as MemUPAgent
from farback.memup import PredictorNetwork as PredictorNetwork
from farback.network import AbstractEncoder as AbstractEncoder
from farback.network import Network as Network
from farback.network import NetworkStep as NetworkStep
from farback.reports.diagnosis import credit_reach as credit_reach
from farback.reports.diagnosis import diagnose as diagnose
from farback.runs.config import Config as Config
from farback.runs.config import configure as configure
from farback.runs.config import pretrained as pretrained
from farback.runs.loop import Options as Options
from farback.runs.run import load as load
from farback.runs.run import run as run
from farback.runs.run import run_config as run_config
from farback.runs.saved import LoadedRun as LoadedRun
from farback.segmentwise_artbp import SegmentwiseARTBP as SegmentwiseARTBP
from farback.step import AbstractStep as AbstractStep
from farback.sweeps.certify import certify as certify
from farback.tasks import AbstractTask as AbstractTask
from farback.types import Carry as Carry
from farback.types import InputError as InputError
from farback.types import Outcome as Outcome
from farback.types import Tally as Tally
from farback.types import Window as Window
