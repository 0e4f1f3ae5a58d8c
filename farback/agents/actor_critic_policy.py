"""The policy of an actor-critic network."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from farback.acting import AbstractPolicy
from farback.acting.policy import PolicyState
from farback.agents.base import output_shapes
from farback.cell import AbstractCell, reset
from farback.envs.base import AbstractEnv
from farback.heads import ActorCriticOutput
from farback.ops.distributions import check_policy_output, distribution
from farback.step import Model
from farback.types import InputError


class SampledAction(NamedTuple):
    """The extras of an actor-critic policy: the log-probability of the action, and the value of the observation."""

    log_prob: Float[Array, "*batch"]
    value: Float[Array, "*batch"]


class ActorCriticPolicy(AbstractPolicy):
    """Samples actions from a network with the output `(policy, value)`.

    **Arguments:**

    - `network`: the network, such as one made by `ActorCriticNetwork`.
    - `env`: the environment that defines the action space.
    - `greedy`: whether to take the most likely action instead of a sample.
    """

    network: Model
    env: AbstractEnv
    greedy: bool = eqx.field(static=True, default=False)

    def initial(self) -> PolicyState:
        return self.network.memory.initial()

    def __call__(
        self, state: PolicyState, observation: Any, first: Any, key: PRNGKeyArray
    ) -> tuple[PolicyState, Any, SampledAction]:
        state, (policy, value) = self.outputs(state, observation, first)
        actions = distribution(self.env.action_space, policy)
        action = actions.mode() if self.greedy else actions.sample(key)
        return state, action, SampledAction(actions.log_prob(action), value)

    def outputs(self, state: PolicyState, observation: Any, first: Any) -> tuple[PolicyState, ActorCriticOutput]:
        """Returns `(state, output)`: the state after an observation, and the network's output."""
        memory = self.network.memory
        state, output = memory(reset(memory, state, jnp.asarray(first)), self.network.encoder(observation))
        return state, self.network.head(output)


def check_network(network: Any, env: AbstractEnv) -> None:
    """Refuses a model that is not an actor-critic network, or whose output does not fit the action space."""
    advice = "make it with ActorCriticNetwork(cell)"
    if not isinstance(getattr(network, "memory", None), AbstractCell):
        raise InputError(f"{type(network).__name__} is not a network with the output (policy, value): {advice}.")
    found = output_shapes(network, env)
    if not isinstance(found, ActorCriticOutput) or getattr(found.value, "shape", None) != ():
        raise InputError(
            f"The network's output is {found}, but an agent needs (policy, value) with a scalar value: {advice}."
        )
    check_policy_output(env.action_space, found.policy)
