"""Rewards as rates: an environment in physical time whose returns do not depend on its time step."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from farback.envs.base import AbstractEnv, AutoResetState, Feedback, State
from farback.envs.wrappers.base import AbstractWrapper
from farback.types import InputError


class PerSecond(AbstractWrapper):
    """Reads the rewards of an environment as rates per second: a step of δt seconds has the reward r δt.

    Pendulum and CartPole give the same reward at each step however short it is. Around them, returns are comparable over
    time steps, and deep advantage updating can learn. Do not use it around an environment whose rewards are events, such as
    those of a goal that is reached.

    **Arguments:**

    - `env`: an environment in physical time, such as Pendulum(dt=0.01).
    - `seconds`: the duration that rewards are multiplied by; by default, the time step of the environment.
    - `terminal_seconds`: the duration that the reward of a terminal step is multiplied by, if that is an event, such as the
      penalty for a fall; it does not depend on the time step. By default, it is a rate too.
    """

    env: AbstractEnv
    seconds: float | None = None
    terminal_seconds: float | None = None
    wraps_hosted: ClassVar[bool] = True

    def __check_init__(self):
        if self.seconds is None and self.env.time_step is None:
            raise InputError(
                f"PerSecond({type(self.env).__name__}(...)): the environment does not state its time step; give an "
                f"environment in physical time, such as Pendulum(dt=0.01), or give seconds."
            )
        for name in ("seconds", "terminal_seconds"):
            if (value := getattr(self, name)) is not None and not 0 < value < float("inf"):
                raise InputError(f"PerSecond({name}={value}): give a positive number.")

    @property
    def factor(self) -> float:
        """The number that rewards are multiplied by."""
        return self.seconds or self.env.time_step or 1.0

    @property
    def _of_returns(self) -> float:
        """The factor of whole returns; NaN, unknown, where terminal rewards have another."""
        return self.factor if self.terminal_seconds is None else math.nan

    @property
    def optimum(self) -> float:
        return self._of_returns * self.env.optimum

    @property
    def memoryless(self) -> float:
        return self._of_returns * self.env.memoryless

    @property
    def random(self) -> float:
        return self._of_returns * self.env.random

    def wrap(self, state: State) -> Any:
        return state

    def unwrap(self, state: Any) -> Any:
        return state

    def step(self, state: Any, action: Any, key: PRNGKeyArray) -> tuple[Any, Feedback]:
        return self._scaled(*self.env.step(state, action, key))

    def auto_reset(self, key: PRNGKeyArray) -> AutoResetState:
        return self.env.auto_reset(key)

    def auto_step(self, state: AutoResetState, action: Any) -> tuple[AutoResetState, Feedback]:
        return self._scaled(*self.env.auto_step(state, action))

    def _scaled(self, state: Any, feedback: Feedback) -> tuple[Any, Feedback]:
        factor = jnp.where(feedback.terminated, self.terminal_seconds or self.factor, self.factor)
        return state, feedback._replace(reward=factor * feedback.reward)
