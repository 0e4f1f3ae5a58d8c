"""Actor-critic networks: a policy and a value, with separate memories or a shared one."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from farback.agents.trunk import trunk
from farback.cell import AbstractCell, AbstractCompositeCell, State, unroll
from farback.cells import WeightNorm
from farback.cells.weight_norm import NormalisedLinear
from farback.envs.base import AbstractEnv
from farback.heads import ActorCriticHead, ActorCriticOutput, PolicyHead
from farback.network import AbstractEncoder, Network


class Separate(AbstractCompositeCell):
    """Memories side by side, such as those of a policy and of a value. Input, state and output are tuples."""

    cells: tuple[AbstractCell, ...]

    @property
    def parts(self) -> tuple[AbstractCell, ...]:
        return self.cells

    def initial(self) -> State:
        return tuple(cell.initial() for cell in self.cells)

    def inputs(self, state: State, x: Any) -> tuple[Any, ...]:
        return x

    def __call__(self, state: State, x: Any) -> tuple[State, Any]:
        found = [cell(*each) for cell, *each in zip(self.cells, state, x, strict=True)]
        return tuple(after for after, _ in found), tuple(output for _, output in found)

    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Any, flow: Float[Array, "time batch"]
    ) -> tuple[State, Any]:
        each = zip(self.cells, state, x, strict=True)
        found = [unroll(cell, before, first, x, flow) for cell, before, x in each]
        return tuple(after for after, _ in found), tuple(output for _, output in found)


class SeparateEncoders(eqx.Module):
    """Encoders side by side. The features are a tuple."""

    parts: tuple[Callable[[Any], Any], ...]

    def __call__(self, observation: Any) -> tuple[Any, ...]:
        return tuple(encoder(observation) for encoder in self.parts)


class ActorCritic(eqx.Module):
    """A policy network and a separate value network, as one model with an encoder, a memory and a head.

    The gradient of the value loss does not reach the policy, so the weight of the value loss needs no tuning. The price
    is a second memory.

    **Arguments:**

    - `policy`: the policy network.
    - `value`: the value network.
    """

    policy: Network
    value: Network

    @property
    def encoder(self) -> SeparateEncoders:
        return SeparateEncoders((self.policy.encoder, self.value.encoder))

    @property
    def memory(self) -> Separate:
        return Separate((self.policy.memory, self.value.memory))

    def head(self, output: Any) -> ActorCriticOutput:
        return ActorCriticOutput(self.policy.head(output[0]), self.value.head(output[1]))


class ActorCriticNetwork(eqx.Module):
    """Makes the network of an agent, with the output `(policy, value)`.

    With a `WeightNorm` memory, the output layers have normalised weights too.

    **Arguments:**

    - `cell`: the memory, such as GRU(64). In Python, a maker `cell(input_size, key=key)`, such as
      `functools.partial(GRU, size=64)`.
    - `encoder`: the encoder of observations, such as Conv(). By default, observations are flattened. In Python, a maker
      `encoder(space, key=key)`, such as `Conv`.
    - `memory`: a memory whose output the cell reads beside the features, such as Pretrained('runs/memup', 'memory'). It
      gets no gradient from the policy or the value. In Python, a maker `memory(input_size, key=key)`.
    - `shared_memory`: whether policy and value share one encoder and one memory. By default, each has its own.
    """

    cell: Callable[..., AbstractCell]
    encoder: Callable[..., AbstractEncoder] | None = None
    memory: Callable[..., AbstractCell] | None = None
    shared_memory: bool = False

    def __call__(self, env: AbstractEnv, *, key: PRNGKeyArray) -> Network | ActorCritic:
        cell_key, policy_key, value_key, own_key = jax.random.split(key, 4)
        space = env.observation_space
        encoder, memory, size = trunk(self, space, cell_key)
        layer = NormalisedLinear if isinstance(memory, WeightNorm) else lambda linear: linear
        policy = PolicyHead(size, env.action_space, key=policy_key)
        policy = eqx.tree_at(lambda head: head.linear, policy, replace_fn=layer)
        value = layer(eqx.nn.Linear(size, "scalar", key=value_key))
        if self.shared_memory:
            return Network(encoder, memory, ActorCriticHead(policy, value))
        own_encoder, own_memory, _ = trunk(self, space, own_key)
        return ActorCritic(Network(encoder, memory, policy), Network(own_encoder, own_memory, value))
