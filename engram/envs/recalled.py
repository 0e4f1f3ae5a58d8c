"""Seeing what a memory holds."""

from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Dict
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from engram.cell import AbstractCell, output_size
from engram.cell import State as Memory
from engram.envs.base import AbstractEnv, Feedback, State
from engram.envs.spaces import flat, width
from engram.envs.wrapper import AbstractWrapper


class Recollection(NamedTuple):
    """The state of an environment, that of the memory after it has seen it, and what the memory puts out."""

    state: State
    memory: Memory
    recalled: Float[Array, " units"]


class Recalled(AbstractWrapper):
    """An environment whose observations say what a memory holds of the episode so far.

    Observed are `observation` and `memory`, what it puts out. Whoever acts need remember nothing, and no credit comes to
    the memory: it was trained before, by `MemUP`, say, and stays as it is.

    **Arguments:**

    - `env`: the environment.
    - `memory`: a cell that sees its flattened observations.
    """

    env: AbstractEnv
    memory: AbstractCell

    @property
    def observation_space(self) -> Any:
        units = output_size(self.memory, width(self.env.observation_space))
        return Dict(observation=self.env.observation_space, memory=Box(-np.inf, np.inf, (units,)))

    def reset(self, key: PRNGKeyArray) -> Recollection:
        return self._after(self.memory.initial(), self.env.reset(key))

    def restart(self, state: Recollection, key: PRNGKeyArray) -> Recollection:
        return self._after(self.memory.initial(), self.env.restart(state.state, key))

    def again(self, state: Recollection, key: PRNGKeyArray) -> Recollection:
        return self._after(self.memory.initial(), self.env.again(state.state, key))

    def observe(self, state: Recollection) -> dict[str, Any]:
        return {"observation": self.env.observe(state.state), "memory": state.recalled}

    def step(self, state: Recollection, action: Any, key: PRNGKeyArray) -> tuple[Recollection, Feedback]:
        following, feedback = self.env.step(state.state, action, key)
        return self._after(state.memory, following), feedback

    def cue(self, state: Recollection) -> Bool[Array, ""]:
        return self.env.cue(state.state)

    def held(self, state: Recollection) -> Memory:
        return state.memory

    def text(self, state: Recollection) -> str:
        return self.env.text(state.state)

    def _after(self, memory: Memory, state: State) -> Recollection:
        memory, recalled = self.memory(memory, flat(self.env.observation_space, self.env.observe(state)))
        return Recollection(state, memory, recalled)
