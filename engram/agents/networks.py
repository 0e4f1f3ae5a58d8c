"""Models that act: a policy and a value, with memories of their own or with one that they share."""

from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from engram.agents.distributions import PolicyHead
from engram.cell import AbstractCell, output_size
from engram.cells import Chain, Parallel, WeightNorm
from engram.cells.weight_norm import NormalisedLinear
from engram.envs.base import AbstractEnv
from engram.envs.spaces import width


def actor_critic(
    env: AbstractEnv, cell: Callable[[int, PRNGKeyArray], AbstractCell], shared: bool = False, *, key: PRNGKeyArray
) -> AbstractCell:
    """A model for an environment, which puts out `(policy, [value])`.

    **Arguments:**

    - `cell`: a memory, from the number of its inputs and a key, such as `lambda size, key: GRU(size, 64, key=key)`. Where
      its weights are normalised, by `WeightNorm`, so are those of the layers that read it.
    - `shared`: whether policy and value read the same memory. If not, no error of the value moves what the policy
      remembers, and there is nothing to weigh against each other; it costs a second memory.
    """
    cell_key, policy_key, value_key, own_key = jax.random.split(key, 4)
    features = width(env.observation_space)
    memory = cell(features, cell_key)
    size = output_size(memory, features)
    reading = NormalisedLinear if isinstance(memory, WeightNorm) else lambda linear: linear
    policy = PolicyHead(size, env.action_space, key=policy_key)
    policy = eqx.tree_at(lambda head: head.linear, policy, replace_fn=reading)
    value = reading(eqx.nn.Linear(size, 1, key=value_key))
    if shared:
        return Chain(memory, Parallel(policy, value))
    return Parallel(Chain(memory, policy), Chain(cell(features, own_key), value))
