"""The base class of environments in physical time."""

import equinox as eqx

from farback.envs.base import AbstractEnv
from farback.types import InputError


class AbstractPhysicalEnv(AbstractEnv):
    """An environment whose steps last `dt` seconds, and whose episodes are truncated after `seconds`."""

    dt: eqx.AbstractVar[float]
    seconds: eqx.AbstractVar[float]

    def __check_init__(self):
        if not 0 < self.dt <= self.seconds < float("inf"):
            raise InputError(
                f"{type(self).__name__}(dt={self.dt}, seconds={self.seconds}): a step lasts dt seconds, and an episode at "
                f"most `seconds`; give 0 < dt <= seconds."
            )

    @property
    def time_step(self) -> float:
        return self.dt

    @property
    def max_episode_steps(self) -> int:
        return round(self.seconds / self.dt)
