"""Networks whose output is an action, and their policy."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium.spaces import Box, Discrete, Space
from jaxtyping import Array, Float, PRNGKeyArray

from farback.acting import AbstractPolicy
from farback.acting.policy import PolicyState
from farback.agents.trunk import trunk
from farback.cell import AbstractCell, reset
from farback.envs.base import AbstractEnv
from farback.envs.spaces import HashableSpace, width
from farback.network import AbstractEncoder, Network
from farback.types import InputError


class ActionHead(eqx.Module):
    """The linear layer that ends a network of actions.

        a = W x + b, clipped to the bounds, for a Box;      a = argmax_i (W x + b)_i for Discrete actions

    **Arguments:**

    - `features`: the length of x.
    - `action_space`: a Box of floats, or Discrete.
    """

    linear: eqx.nn.Linear
    action_space: HashableSpace = eqx.field(static=True)

    def __init__(self, features: int, action_space: Space[Any], *, key: PRNGKeyArray):
        continuous = isinstance(action_space, Box) and jnp.issubdtype(action_space.dtype, jnp.floating)
        if not (continuous or isinstance(action_space, Discrete)):
            raise InputError(
                f"ActionHead gives actions of a Box of floats or of Discrete, and these are of {action_space}: train this "
                f"environment with PPO."
            )
        self.linear = eqx.nn.Linear(features, width(action_space), key=key)
        self.action_space = HashableSpace(action_space)

    def __call__(self, x: Float[Array, " features"]) -> Array:
        vector, space = self.linear(x), self.action_space.unwrapped
        if isinstance(space, Discrete):
            return int(space.start) + jnp.argmax(vector)
        assert isinstance(space, Box)
        low, high = (jnp.asarray(bound, vector.dtype) for bound in (space.low, space.high))
        return jnp.clip(vector.reshape(space.shape), low, high)


class ActionPolicy(AbstractPolicy):
    """Takes the action that a network gives.

    **Arguments:**

    - `network`: the network, such as one made by `ActionNetwork`.
    """

    network: Network

    def initial(self) -> PolicyState:
        return self.network.memory.initial()

    def __call__(
        self, state: PolicyState, observation: Any, first: Any, key: PRNGKeyArray
    ) -> tuple[PolicyState, Any, tuple[()]]:
        del key
        memory = self.network.memory
        state, output = memory(reset(memory, state, jnp.asarray(first)), self.network.encoder(observation))
        return state, self.network.head(output), ()


def check_actions(network: Any, env: AbstractEnv) -> None:
    """Refuses a model whose output is not an action of an environment."""
    head = getattr(network, "head", None)
    found = head.action_space.unwrapped if isinstance(head, ActionHead) else None
    if found != env.action_space:
        raise InputError(
            f"The actions of the network are {found}, and those of {type(env).__name__} are {env.action_space}: make the "
            f"network with ActionNetwork(cell)."
        )


class ActionNetwork(eqx.Module):
    """Makes a network whose output is an action.

    **Arguments:**

    - `cell`: the memory, such as GRU(64). In Python, a maker `cell(input_size, key=key)`, such as
      `functools.partial(GRU, size=64)`.
    - `encoder`: the encoder of observations, such as Conv(). By default, observations are flattened. In Python, a maker
      `encoder(space, key=key)`, such as `Conv`.
    - `memory`: a memory whose output the cell reads beside the features, such as Pretrained('runs/memup', 'memory'). In
      Python, a maker `memory(input_size, key=key)`.
    """

    cell: Callable[..., AbstractCell]
    encoder: Callable[..., AbstractEncoder] | None = None
    memory: Callable[..., AbstractCell] | None = None

    def __call__(self, env: AbstractEnv, *, key: PRNGKeyArray) -> Network:
        trunk_key, head_key = jax.random.split(key)
        encoder, memory, size = trunk(self, env.observation_space, trunk_key)
        return Network(encoder, memory, ActionHead(size, env.action_space, key=head_key))
