"""Environments, wrappers around them, and bridges to Gymnasium and gymnax."""

from farback.envs.bandit import Bandit as Bandit
from farback.envs.bandit import GaussianBandit as GaussianBandit
from farback.envs.base import AbstractEnv as AbstractEnv
from farback.envs.base import AutoResetState as AutoResetState
from farback.envs.base import Feedback as Feedback
from farback.envs.bridges.from_gymnasium import Gymnasium as Gymnasium
from farback.envs.bridges.gymnax import Gymnax as Gymnax
from farback.envs.bridges.to_gymnasium import GymEnv as GymEnv
from farback.envs.bridges.to_gymnasium import GymVectorEnv as GymVectorEnv
from farback.envs.car_racing.car_racing import CarRacing as CarRacing
from farback.envs.cartpole import CartPole as CartPole
from farback.envs.check import check as check
from farback.envs.detour import Detour as Detour
from farback.envs.doom.doom import Doom as Doom
from farback.envs.double_pole import DoublePole as DoublePole
from farback.envs.eat import Eat as Eat
from farback.envs.high_low import HighLow as HighLow
from farback.envs.hill import Hill as Hill
from farback.envs.ladder import Ladder as Ladder
from farback.envs.noisy_recall import NoisyRecall as NoisyRecall
from farback.envs.pendulum import Pendulum as Pendulum
from farback.envs.pusher import Pusher as Pusher
from farback.envs.raycast.maze import Maze as Maze
from farback.envs.raycast.memory_maze import MemoryMaze as MemoryMaze
from farback.envs.raycast.take_cover import TakeCover as TakeCover
from farback.envs.raycast.two_colors import TwoColors as TwoColors
from farback.envs.raycast.watermaze import Watermaze as Watermaze
from farback.envs.registered import register
from farback.envs.repeat_previous import RepeatPrevious as RepeatPrevious
from farback.envs.tabular_mdp import MDP as MDP
from farback.envs.tabular_mdp import TabularMDP as TabularMDP
from farback.envs.target import Target as Target
from farback.envs.tmaze import TMaze as TMaze
from farback.envs.wrappers.curriculum import Curriculum as Curriculum
from farback.envs.wrappers.memory_states import MemoryStates as MemoryStates
from farback.envs.wrappers.per_second import PerSecond as PerSecond
from farback.envs.wrappers.previous_action_reward import PreviousActionReward as PreviousActionReward
from farback.envs.wrappers.trials import Trials as Trials

register()
