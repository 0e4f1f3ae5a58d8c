"""What environments made from another one have in common."""

from typing import Any

import equinox as eqx

from engram.envs.base import AbstractEnv


class AbstractWrapper(AbstractEnv):
    """An environment made from another, which has the spaces and the returns of that one unless it says otherwise."""

    env: eqx.AbstractVar[AbstractEnv]

    @property
    def observation_space(self) -> Any:
        return self.env.observation_space

    @property
    def action_space(self) -> Any:
        return self.env.action_space

    @property
    def steps(self) -> int | None:
        return self.env.steps

    @property
    def optimum(self) -> float:
        return self.env.optimum

    @property
    def memoryless(self) -> float:
        return self.env.memoryless

    @property
    def random(self) -> float:
        return self.env.random
