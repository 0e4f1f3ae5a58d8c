"""Simulated bodies of Gymnasium at a time step of your choice."""

import importlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from farback.envs.bridges.vector_env import registered
from farback.types import InputError

USUAL_FRAME_RATE = 50
"""The frames per second of BipedalWalker as registered; its observations and rewards depend on it."""


class BodySettings:
    """How an environment of Gymnasium runs at another time step.

    **Arguments:**

    - `name`: the id of an environment of MuJoCo, or BipedalWalker-v3.
    - `dt`: the seconds between two actions.
    - `seconds`: the duration of an episode; by default, that of the environment as registered.
    - `physics_step`: for MuJoCo, the seconds of a step of its physics, which divides `dt`; by default, that of the model.
      The physics of BipedalWalker makes one step for each action.
    """

    def __init__(self, name: str, dt: float, seconds: float | None, physics_step: float | None):
        here = f"Gymnasium({name!r}, dt={dt})"
        with registered(name):
            env: Any = gymnasium.make(name)
        body, limit = env.unwrapped, env.spec.max_episode_steps
        env.close()
        has_physics = hasattr(body, "frame_skip") and hasattr(body, "model")
        if not has_physics and (type(body).__name__ != "BipedalWalker" or physics_step is not None):
            raise InputError(
                f"{here}: only the environments of MuJoCo, such as HalfCheetah-v5, and BipedalWalker-v3 run at a time step "
                f"of your choice, and only those of MuJoCo have a physics_step. Of Farback's own, Pendulum(dt=0.01) and "
                f"CartPole(dt=0.01) do."
            )
        usual = body.dt if has_physics else 1 / USUAL_FRAME_RATE
        self.name, self.dt, self.seconds = name, dt, (limit or 0) * usual if seconds is None else seconds
        self.physics_step, self.frame_skip = physics_step, 1
        if not 0 < dt <= self.seconds < float("inf"):
            raise InputError(f"{here}, seconds={self.seconds}: give 0 < dt <= seconds.")
        if has_physics:
            self.physics_step = float(body.model.opt.timestep) if physics_step is None else physics_step
            self.frame_skip = round(dt / self.physics_step) if self.physics_step > 0 else 0
            if self.frame_skip < 1 or not np.isclose(self.frame_skip * self.physics_step, dt):
                raise InputError(
                    f"{here}: a step of the physics has {self.physics_step:g} seconds, which does not divide dt; give a "
                    f"multiple of it, or another physics_step, such as 0.001."
                )

    @property
    def max_episode_steps(self) -> int:
        return round(self.seconds / self.dt)

    def __call__(self, copies: int) -> VectorEnv[Any, Any, Any]:
        """Makes a vector environment."""
        return SyncVectorEnv([self._one] * copies, autoreset_mode=AutoresetMode.NEXT_STEP)

    def _one(self) -> gymnasium.Env[Any, Any]:
        env: Any = gymnasium.make(self.name, max_episode_steps=self.max_episode_steps)
        if self.physics_step is None:
            return Walker(env, self.dt)
        env.unwrapped.model.opt.timestep, env.unwrapped.frame_skip = self.physics_step, self.frame_skip
        return env


class Walker(gymnasium.Wrapper[Any, Any, Any, Any]):
    """BipedalWalker at another frame rate.

    Its observation has the velocities of the hull, and its reward the progress, per frame. Here both are what they are at
    the usual frame rate, whatever the time step: the reward is a rate in usual frames, and the penalty of −100 for a fall
    stays as it is.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], dt: float):
        super().__init__(env)
        self.dt, self.frames = dt, USUAL_FRAME_RATE * dt
        self.module: Any = importlib.import_module(type(env.unwrapped).__module__)

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        with self._frame_rate():
            observation, info = self.env.reset(**options)
        return self._usual(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        with self._frame_rate():
            observation, reward, terminated, truncated, info = self.env.step(action)
        cost = 0.00035 * self.module.MOTORS_TORQUE * float(np.abs(action).clip(0, 1).sum())
        fell = terminated and reward == -100
        rate = reward if fell else (float(reward) + cost) / self.frames - cost
        return self._usual(observation), rate, terminated, truncated, info

    def _usual(self, observation):
        return np.concatenate([observation[:1], observation[1:4] / self.frames, observation[4:]])

    @contextmanager
    def _frame_rate(self) -> Generator[None]:
        """The physics reads the frame rate from its module; other walkers may have another."""
        self.module.FPS = 1 / self.dt
        try:
            yield
        finally:
            self.module.FPS = USUAL_FRAME_RATE
