"""Networks of action values."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium.spaces import Discrete
from jaxtyping import Array, Float, PRNGKeyArray

from farback.agents.trunk import trunk
from farback.cell import AbstractCell
from farback.envs.base import AbstractEnv
from farback.network import AbstractEncoder, Network
from farback.types import InputError


class QHead(eqx.Module):
    """The linear layers that end a network of action values: quantiles of the return of each action, `[action, quantile]`.

        q(a) = v + A(a) − mean_b A(b)      with `dueling`;      q(a) = A(a)      without

    **Arguments:**

    - `features`: the length of the vector that the head reads.
    - `actions`: the number of actions.
    - `quantiles`: the number of quantiles of a return; 1 for its mean alone.
    - `dueling`: whether a value is added to advantages, which do not change the mean over actions.

    Reference: Wang et al., *Dueling network architectures for deep reinforcement learning*, ICML 2016; Dabney et al.,
    *Distributional reinforcement learning with quantile regression*, AAAI 2018.
    """

    advantage: eqx.nn.Linear
    value: eqx.nn.Linear | None
    quantiles: int = eqx.field(static=True)

    def __init__(self, features: int, actions: int, quantiles: int = 1, dueling: bool = False, *, key: PRNGKeyArray):
        advantage_key, value_key = jax.random.split(key)
        self.advantage = eqx.nn.Linear(features, actions * quantiles, key=advantage_key)
        self.value = eqx.nn.Linear(features, quantiles, key=value_key) if dueling else None
        self.quantiles = quantiles

    def __call__(self, x: Float[Array, " features"]) -> Float[Array, "actions quantiles"]:
        advantage = self.advantage(x).reshape(-1, self.quantiles)
        if self.value is None:
            return advantage
        return self.value(x) + advantage - jnp.mean(advantage, axis=0)


class QNetwork(eqx.Module):
    """Makes a network of the return of each action, with the output `[action, quantile]`.

    **Arguments:**

    - `cell`: the memory, such as GRU(64). In Python, a maker `cell(input_size, key=key)`, such as
      `functools.partial(GRU, size=64)`.
    - `encoder`: the encoder of observations, such as Conv(). By default, observations are flattened. In Python, a maker
      `encoder(space, key=key)`, such as `Conv`.
    - `memory`: a memory whose output the cell reads beside the features, such as Pretrained('runs/memup', 'memory'). It
      gets no gradient from the values. In Python, a maker `memory(input_size, key=key)`.
    - `dueling`: whether the head adds a value to advantages.
    - `quantiles`: the number of quantiles of each return; 1 for its mean alone. More make DQN a QR-DQN.
    """

    cell: Callable[..., AbstractCell]
    encoder: Callable[..., AbstractEncoder] | None = None
    memory: Callable[..., AbstractCell] | None = None
    dueling: bool = False
    quantiles: int = 1

    def __check_init__(self):
        if self.quantiles < 1:
            raise InputError(f"QNetwork(quantiles={self.quantiles}): give quantiles >= 1.")

    def __call__(self, env: AbstractEnv, *, key: PRNGKeyArray) -> Network:
        space = require_discrete(env, "QNetwork")
        trunk_key, head_key = jax.random.split(key)
        encoder, memory, size = trunk(self, env.observation_space, trunk_key)
        return Network(encoder, memory, QHead(size, int(space.n), self.quantiles, self.dueling, key=head_key))


def require_discrete(env: AbstractEnv, who: str) -> Discrete:
    """Returns the action space of an environment, or raises if it is not `Discrete`."""
    space = env.action_space
    if not isinstance(space, Discrete):
        raise InputError(
            f"{who} has one value for each action, but the actions of {type(env).__name__} are {space}, not Discrete: use "
            f"an agent for such actions, such as PPO."
        )
    return space
