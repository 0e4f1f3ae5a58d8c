"""Gymnasium's environments in compiled programs, stepped by the host."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
from gymnasium.vector import VectorEnv

from farback.envs.bridges.host import Host
from farback.envs.bridges.hosted_env import AbstractHostedEnv
from farback.envs.bridges.physics import BodySettings
from farback.envs.bridges.vector_env import make_vector_env
from farback.types import InputError


class Gymnasium(AbstractHostedEnv):
    """An environment of Gymnasium; under `jax.vmap`, its copies are one vector environment on the host.

    Compiled programs call the host at each step, once for all copies. The host's state is not part of `AutoResetState`:
    when a run is resumed in another process, the episodes in progress are truncated and new ones begin.

    The last observation of an episode has a step of its own (see `AutoResetState`). Vector environments with the NEXT_STEP
    autoreset mode have that step too. With other modes, the copy takes a step of a hidden episode there, and is then reset
    by `options={"reset_mask": ...}`: one more reset per episode.

    The host resets and steps it as a whole, by `auto_reset` and `auto_step`. `PreviousActionReward(Gymnasium(...))` and
    `MemoryStates(Gymnasium(...), 4)` work. Wrappers that call its `reset` or `step`, such as `Trials` and `Curriculum`, do
    not: use Gymnasium's own wrappers.

    **Arguments:**

    - `make`: an id of Gymnasium's registry, for `gymnasium.make_vec`, or a function from a number of copies to a vector
      environment.
    - `dt`: the seconds between two actions, for the ids of MuJoCo's environments, such as HalfCheetah-v5, and for
      BipedalWalker-v3. By default, the environment is not in physical time. The reward of these environments is a rate:
      `PerSecond` makes it the reward of a step.
    - `seconds`: with `dt`, the duration of an episode; by default, that of the environment as registered.
    - `physics_step`: with `dt`, the seconds of one step of MuJoCo's physics, which divides `dt`; by default, that of the
      model. To compare time steps, give all of them the same.
    - `processes`: the number of processes that the copies are divided over, which step them at the same time. Give 1, the
      default, unless a step of the copies takes more than a millisecond.
    """

    host: Host = eqx.field(static=True)
    body: BodySettings | None = eqx.field(static=True)

    def __init__(
        self,
        make: str | Callable[[int], VectorEnv[Any, Any, Any]],
        dt: float | None = None,
        seconds: float | None = None,
        physics_step: float | None = None,
        processes: int = 1,
    ):
        if dt is not None and isinstance(make, str):
            self.body = BodySettings(make, dt, seconds, physics_step)
            self.host = Host(self.body, processes)
            return
        if dt is not None or seconds is not None or physics_step is not None:
            raise InputError(
                "Gymnasium(make, dt, seconds, physics_step): dt needs an id, such as 'HalfCheetah-v5'; seconds and "
                "physics_step need dt."
            )
        self.body = None
        self.host = Host(functools.partial(make_vector_env, make) if isinstance(make, str) else make, processes)

    @property
    def time_step(self) -> float | None:
        return self.body and self.body.dt

    @property
    def max_episode_steps(self) -> int | None:
        return self.body and self.body.max_episode_steps
