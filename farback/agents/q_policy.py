"""The policy of a network with action values."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from farback.acting import AbstractPolicy
from farback.agents.exploration import AbstractExploration
from farback.agents.off_policy import ExploringState, StoredMemory
from farback.agents.q_network import require_discrete
from farback.agents.value_exploration import explore_values, initial_exploration
from farback.cell import reset
from farback.envs.base import AbstractEnv
from farback.network import Network


class QPolicy(AbstractPolicy):
    """Takes the action with the largest mean of its return quantiles, and explores.

    **Arguments:**

    - `network`: the network, such as one made by `QNetwork`.
    - `env`: the environment that defines the action space.
    - `exploration`: changes the action, or the values before the largest is chosen.
    """

    network: Network
    env: AbstractEnv
    exploration: AbstractExploration

    def initial(self) -> ExploringState:
        space = require_discrete(self.env, "QPolicy")
        return ExploringState(self.network.memory.initial(), initial_exploration(self.exploration, space))

    def __call__(
        self, state: ExploringState, observation: Any, first: Any, key: PRNGKeyArray
    ) -> tuple[ExploringState, Any, StoredMemory]:
        memory = self.network.memory
        after, output = memory(reset(memory, state.memory, jnp.asarray(first)), self.network.encoder(observation))
        values = jnp.mean(self.network.head(output), axis=-1)
        space = require_discrete(self.env, "QPolicy")
        explored, action = explore_values(self.exploration, space, state.exploration, values, first, key)
        return ExploringState(after, explored), action, StoredMemory(state.memory, jnp.max(values))
