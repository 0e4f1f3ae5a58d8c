"""Networks of deep advantage updating: a value, an advantage and, for continuous actions, a policy."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from gymnasium.spaces import Discrete
from jaxtyping import PRNGKeyArray

from farback.agents.box_actions import BoxActions
from farback.agents.networks import Separate, SeparateEncoders
from farback.agents.policy_q_network import ActionValue, DeterministicHead
from farback.agents.trunk import trunk
from farback.cell import AbstractCell
from farback.envs.base import AbstractEnv
from farback.network import AbstractEncoder, Network
from farback.types import InputError


class ValueAdvantage(eqx.Module):
    """The networks of a value and of an advantage and, for continuous actions, of a policy, as one model with an encoder
    and a memory. Each network has its own.

    - `value`: the network of V, with a scalar output.
    - `advantage`: the network of Ā. For discrete actions, its output has one number for each; otherwise its head is called
      with the output of the memory and an action.
    - `policy`: the network of continuous actions; `None` for discrete ones.
    """

    value: Network
    advantage: Network
    policy: Network | None

    @property
    def parts(self) -> tuple[Network, ...]:
        """The networks."""
        return (self.value, self.advantage) + (() if self.policy is None else (self.policy,))

    @property
    def encoder(self) -> SeparateEncoders:
        return SeparateEncoders(tuple(part.encoder for part in self.parts))

    @property
    def memory(self) -> Separate:
        return Separate(tuple(part.memory for part in self.parts))


class DAUNetwork(eqx.Module):
    """Makes the network of DAU: of a value and of an advantage and, for continuous actions, of a policy.

    **Arguments:**

    - `cell`: the memory, such as GRU(64). In Python, a maker `cell(input_size, key=key)`, such as
      `functools.partial(GRU, size=64)`.
    - `encoder`: the encoder of observations, such as Conv(). By default, observations are flattened. In Python, a maker
      `encoder(space, key=key)`, such as `Conv`.
    - `memory`: a memory whose output the cell reads beside the features, such as Pretrained('runs/memup', 'memory'). It
      gets no gradient from the agent. In Python, a maker `memory(input_size, key=key)`.
    - `advantage_size`: the number of units between the memory and the advantage of a continuous action. They are
      normalised before ReLU, as in `ActionValue`.
    """

    cell: Callable[..., AbstractCell]
    encoder: Callable[..., AbstractEncoder] | None = None
    memory: Callable[..., AbstractCell] | None = None
    advantage_size: int = 64

    def __check_init__(self):
        if self.advantage_size < 1:
            raise InputError(f"DAUNetwork(advantage_size={self.advantage_size}): give advantage_size >= 1.")

    def __call__(self, env: AbstractEnv, *, key: PRNGKeyArray) -> ValueAdvantage:
        keys = jax.random.split(key, 3)

        def network(key: PRNGKeyArray, head: Callable[..., Any]) -> Network:
            trunk_key, head_key = jax.random.split(key)
            encoder, memory, size = trunk(self, env.observation_space, trunk_key)
            return Network(encoder, memory, head(size, head_key))

        value = network(keys[0], lambda size, key: eqx.nn.Linear(size, "scalar", key=key))
        if isinstance(space := env.action_space, Discrete):
            return ValueAdvantage(
                value, network(keys[1], lambda size, key: eqx.nn.Linear(size, int(space.n), key=key)), None
            )
        actions = BoxActions(env, type(self).__name__).size
        advantage = network(keys[1], lambda size, key: ActionValue(size, actions, self.advantage_size, True, key=key))
        return ValueAdvantage(
            value, advantage, network(keys[2], lambda size, key: DeterministicHead(size, actions, key=key))
        )
