"""Memory states: a memory that the agent writes by its actions."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from gymnasium.spaces import Box, Dict
from jaxtyping import Array, Float

from farback.envs.base import AbstractEnv, Feedback, State
from farback.envs.wrappers.observation import AbstractObservationWrapper
from farback.types import InputError


class MemoryStatesState(NamedTuple):
    """The inner state, and the memory."""

    state: State
    memory: Float[Array, " size"]


class MemoryStates(AbstractObservationWrapper):
    """Adds a memory that the agent reads in its observation and writes in its action.

        observation (o_t, m_t),   action (a_t, w_t);      m_1 = 0,   m_{t+1} = clip(w_t, −b, b)

    Observations are `observation` and `memory`; actions are `action` and `write`. A policy without a memory of its own,
    such as one with an `MLP` cell, can remember by it, and any learning algorithm can train this memory as a part of the
    actions. Environments of Gymnasium can be wrapped, `MemoryStates(Gymnasium("CartPole-v1"), 4)`, and so can other
    wrappers: in `MemoryStates(Trials(...), 4)` the memory lasts for a trial, in `Trials(MemoryStates(...), n)` for an
    episode.

        optimum, random: those of the environment
        memoryless: unknown, because a policy of the observation alone reads its own writes there

    Do not use it for a policy that has a memory of its own: a gradient through time trains that memory, and a write is
    learnt only from the returns that follow it.

    **Arguments:**

    - `env`: the environment.
    - `size`: the number of memory states.
    - `bound`: b, the bound of each of them.

    Reference: Pong, Gu and Levine, *Learning long-term dependencies with deep memory states*, 2017, eq. 1, b = 1; Zhang et
    al., *Learning deep neural network policies with continuous memory states*, ICRA 2016.
    """

    env: AbstractEnv
    size: int
    bound: float = 1.0

    def __check_init__(self):
        if self.size < 1:
            raise InputError(
                f"MemoryStates(size={self.size}): it has nothing to write to; give size >= 1, or the environment itself."
            )
        if not 0 < self.bound < math.inf:
            raise InputError(f"MemoryStates(bound={self.bound}): writes are clipped to it; give a positive, finite bound.")

    @property
    def memory_space(self) -> Box:
        """The space of memories, and of writes."""
        return Box(-self.bound, self.bound, (self.size,))

    @property
    def observation_space(self) -> Any:
        return Dict(observation=self.env.observation_space, memory=self.memory_space)

    @property
    def action_space(self) -> Any:
        return Dict(action=self.env.action_space, write=self.memory_space)

    @property
    def memoryless(self) -> float:
        return math.nan  # a policy can read its own writes

    def wrap(self, state: State) -> MemoryStatesState:
        return MemoryStatesState(state, jnp.zeros(self.size))

    def unwrap_action(self, action: dict[str, Any]) -> Any:
        return action["action"]

    def after(
        self, state: MemoryStatesState, following: State, action: dict[str, Any], feedback: Feedback
    ) -> MemoryStatesState:
        del feedback
        memory = jnp.clip(action["write"], -self.bound, self.bound)
        return MemoryStatesState(following, jnp.asarray(memory, state.memory.dtype))

    def observe(self, state: MemoryStatesState) -> dict[str, Any]:
        return {"observation": self.env.observe(state.state), "memory": state.memory}
