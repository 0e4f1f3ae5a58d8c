"""Environments that are acted in."""

from engram.envs.bandit import Bandit as Bandit
from engram.envs.bandit import GaussianBandit as GaussianBandit
from engram.envs.base import AbstractEnv as AbstractEnv
from engram.envs.base import Feedback as Feedback
from engram.envs.base import Play as Play
from engram.envs.cartpole import CartPole as CartPole
from engram.envs.check import check as check
from engram.envs.curriculum import Curriculum as Curriculum
from engram.envs.eat import Eat as Eat
from engram.envs.gym import GymEnv as GymEnv
from engram.envs.gym import GymVectorEnv as GymVectorEnv
from engram.envs.gymnax import Gymnax as Gymnax
from engram.envs.high_low import HighLow as HighLow
from engram.envs.host import Gymnasium as Gymnasium
from engram.envs.ladder import Ladder as Ladder
from engram.envs.noisy_recall import NoisyRecall as NoisyRecall
from engram.envs.pendulum import Pendulum as Pendulum
from engram.envs.previous import Previous as Previous
from engram.envs.recalled import Recalled as Recalled
from engram.envs.registered import register
from engram.envs.repeat_previous import RepeatPrevious as RepeatPrevious
from engram.envs.tabular_mdp import MDP as MDP
from engram.envs.tabular_mdp import TabularMDP as TabularMDP
from engram.envs.target import Target as Target
from engram.envs.tmaze import TMaze as TMaze
from engram.envs.trials import Trials as Trials

register()
