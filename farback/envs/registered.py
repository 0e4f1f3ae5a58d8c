"""Farback's environments in the registry of Gymnasium.

Importing `farback` registers them; `gymnasium.make("farback:farback/TMaze-v0")` imports it.
"""

from typing import Any

import gymnasium

from farback.envs.bandit import Bandit, GaussianBandit
from farback.envs.base import AbstractEnv
from farback.envs.bridges.to_gymnasium import GymEnv, GymVectorEnv
from farback.envs.car_racing.car_racing import CarRacing
from farback.envs.cartpole import CartPole
from farback.envs.detour import Detour
from farback.envs.double_pole import DoublePole
from farback.envs.eat import Eat
from farback.envs.high_low import HighLow
from farback.envs.hill import Hill
from farback.envs.ladder import Ladder
from farback.envs.noisy_recall import NoisyRecall
from farback.envs.pendulum import Pendulum
from farback.envs.pusher import Pusher
from farback.envs.raycast.maze import Maze
from farback.envs.raycast.memory_maze import MemoryMaze
from farback.envs.raycast.take_cover import TakeCover
from farback.envs.raycast.two_colors import TwoColors
from farback.envs.raycast.watermaze import Watermaze
from farback.envs.repeat_previous import RepeatPrevious
from farback.envs.tabular_mdp import TabularMDP
from farback.envs.target import Target
from farback.envs.tmaze import TMaze
from farback.envs.wrappers.previous_action_reward import PreviousActionReward

WITH_DEFAULTS = (
    *(CarRacing, CartPole, Detour, DoublePole, Eat, HighLow, Hill, Ladder, Pendulum, Pusher, RepeatPrevious, TabularMDP),
    *(Maze, MemoryMaze, TakeCover, Target, TwoColors, Watermaze),
)
ENVS: dict[type[AbstractEnv], dict[str, Any]] = {
    TMaze: {"corridor": 10},
    NoisyRecall: {"length": 10},
    Bandit: {"arms": 10},
    GaussianBandit: {"arms": 10},
    **{env: {} for env in WITH_DEFAULTS},
}
"""The environments, and values for their arguments that have no default."""


def register() -> None:
    """Registers each environment for `gymnasium.make("farback/NAME-v0", **arguments)` and `gymnasium.make_vec`.

    Arguments are those of its constructor; `previous_action_reward=True` wraps it in `PreviousActionReward`.
    """
    for env, arguments in ENVS.items():
        gymnasium.register(
            f"farback/{env.__name__}-v0",
            entry_point="farback.envs.registered:make",
            vector_entry_point="farback.envs.registered:make_vec",
            kwargs={"name": env.__name__, **arguments},
        )


def make(name: str, render_mode: str | None = None, **arguments: Any) -> GymEnv:
    return GymEnv(_make(name, **arguments), render_mode)


def make_vec(name: str, num_envs: int, **arguments: Any) -> GymVectorEnv:
    return GymVectorEnv(_make(name, **arguments), num_envs)


def _make(name: str, previous_action_reward: bool = False, **arguments: Any) -> AbstractEnv:
    (kind,) = (env for env in ENVS if env.__name__ == name)
    env = kind(**arguments)
    return PreviousActionReward(env) if previous_action_reward else env
