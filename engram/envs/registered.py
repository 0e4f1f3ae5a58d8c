"""Engram's environments by the names that `gymnasium.make` knows them by.

Gymnasium finds them once `engram` was imported, or by `gymnasium.make("engram:engram/TMaze-v0")`, which imports it.
"""

from typing import Any

import gymnasium

from engram.envs.bandit import Bandit, GaussianBandit
from engram.envs.base import AbstractEnv
from engram.envs.cartpole import CartPole
from engram.envs.eat import Eat
from engram.envs.gym import GymEnv, GymVectorEnv
from engram.envs.high_low import HighLow
from engram.envs.ladder import Ladder
from engram.envs.noisy_recall import NoisyRecall
from engram.envs.pendulum import Pendulum
from engram.envs.previous import Previous
from engram.envs.repeat_previous import RepeatPrevious
from engram.envs.tabular_mdp import TabularMDP
from engram.envs.target import Target
from engram.envs.tmaze import TMaze

ENVS: dict[type[AbstractEnv], dict[str, Any]] = {
    TMaze: {"corridor": 10},
    NoisyRecall: {"length": 10},
    Bandit: {"arms": 10},
    GaussianBandit: {"arms": 10},
    **{env: {} for env in (CartPole, Eat, HighLow, Ladder, Pendulum, RepeatPrevious, TabularMDP, Target)},
}
"""The environments, and what is taken for arguments that have no default."""


def register() -> None:
    """Makes `gymnasium.make("engram/NAME-v0", **arguments)` and `gymnasium.make_vec` know each environment.

    Arguments are those of its constructor; with `previous=True`, it is a `Previous` of the environment.
    """
    for env, arguments in ENVS.items():
        gymnasium.register(
            f"engram/{env.__name__}-v0",
            entry_point="engram.envs.registered:make",
            vector_entry_point="engram.envs.registered:make_vec",
            kwargs={"name": env.__name__, **arguments},
        )


def make(name: str, render_mode: str | None = None, **arguments: Any) -> GymEnv:
    return GymEnv(_made(name, **arguments), render_mode)


def make_vec(name: str, num_envs: int, **arguments: Any) -> GymVectorEnv:
    return GymVectorEnv(_made(name, **arguments), num_envs)


def _made(name: str, previous: bool = False, **arguments: Any) -> AbstractEnv:
    (kind,) = (env for env in ENVS if env.__name__ == name)
    made = kind(**arguments)
    return Previous(made) if previous else made
