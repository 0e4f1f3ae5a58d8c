"""The policy of a network with action values."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from farback.acting import AbstractPolicy
from farback.agents.exploration import AbstractExploration
from farback.agents.q_network import require_discrete
from farback.cell import State, reset
from farback.envs.base import AbstractEnv
from farback.network import Network


class QPolicyState(NamedTuple):
    """The state of the memory, and that of the exploration."""

    memory: State
    exploration: Any


class QExtras(NamedTuple):
    """The extras of a Q-policy: the memory before the step, and the value of the best action."""

    memory: State
    value: Float[Array, "*batch"]


class QPolicy(AbstractPolicy):
    """Takes the action with the largest mean of its return quantiles, and explores.

    **Arguments:**

    - `network`: the network, such as one made by `QNetwork`.
    - `env`: the environment that defines the action space.
    - `exploration`: changes the action.
    """

    network: Network
    env: AbstractEnv
    exploration: AbstractExploration

    def initial(self) -> QPolicyState:
        return QPolicyState(self.network.memory.initial(), self.exploration.initial(self.env.action_space))

    def __call__(
        self, state: QPolicyState, observation: Any, first: Any, key: PRNGKeyArray
    ) -> tuple[QPolicyState, Any, QExtras]:
        memory = self.network.memory
        after, output = memory(reset(memory, state.memory, jnp.asarray(first)), self.network.encoder(observation))
        values = jnp.mean(self.network.head(output), axis=-1)
        best = int(require_discrete(self.env, "QPolicy").start) + jnp.argmax(values).astype(int)
        explored, action = self.exploration(self.env.action_space, state.exploration, best, first, key)
        return QPolicyState(after, explored), action, QExtras(state.memory, jnp.max(values))
