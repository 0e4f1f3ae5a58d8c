"""Networks of a policy for continuous actions and of critics that read the action."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from farback.agents.box_actions import BoxActions
from farback.agents.networks import Separate, SeparateEncoders
from farback.agents.trunk import trunk
from farback.cell import AbstractCell, AbstractCompositeCell, State, unroll
from farback.envs.base import AbstractEnv
from farback.network import AbstractEncoder, Network
from farback.types import InputError

LEAST_LOG_STD, MOST_LOG_STD = -5.0, 2.0


class DeterministicHead(eqx.Module):
    """u = tanh(W x + b): an action in [−1, 1]. W is initially a hundredth of the usual one, and b = 0."""

    linear: eqx.nn.Linear

    def __init__(self, features: int, actions: int, *, key: PRNGKeyArray):
        self.linear = _small(features, actions, key)

    def __call__(self, x: Float[Array, " features"]) -> Float[Array, " actions"]:
        return jnp.tanh(self.linear(x))


class SquashedGaussian(NamedTuple):
    """The distribution of u = tanh(z), z ~ N(μ, σ²).

    Reference: Haarnoja et al., *Soft actor-critic*, ICML 2018, appendix C.
    """

    mean: Float[Array, "*batch actions"]
    log_std: Float[Array, "*batch actions"]

    def sample(
        self, noise: Float[Array, "*batch actions"]
    ) -> tuple[Float[Array, "*batch actions"], Float[Array, "*batch"]]:
        """Returns `(u, log π(u))` for standard Gaussian noise:

        log π(u) = log N(z; μ, σ²) − Σ log(1 − tanh² z),      log(1 − tanh² z) = 2 (log 2 − z − softplus(−2z))
        """
        z = self.mean + jnp.exp(self.log_std) * noise
        log_density = -(noise**2) / 2 - self.log_std - jnp.log(2 * jnp.pi) / 2
        return jnp.tanh(z), jnp.sum(log_density - 2 * (jnp.log(2.0) - z - jax.nn.softplus(-2 * z)), axis=-1)


class SquashedGaussianHead(eqx.Module):
    """The mean and the logarithm of the standard deviation of a `SquashedGaussian`, both linear in x.

    The latter lies between −5 and 2, by a scaled tanh.
    """

    linear: eqx.nn.Linear

    def __init__(self, features: int, actions: int, *, key: PRNGKeyArray):
        self.linear = _small(features, 2 * actions, key)

    def __call__(self, x: Float[Array, " features"]) -> SquashedGaussian:
        mean, raw = jnp.split(self.linear(x), 2)
        return SquashedGaussian(mean, LEAST_LOG_STD + (jnp.tanh(raw) + 1) / 2 * (MOST_LOG_STD - LEAST_LOG_STD))


class ActionValue(eqx.Module):
    """A function of features x and of an action u in [−1, 1]:

        q = w · ReLU(W x + U u + b) + c

    W x and U u initially have the same size, however many features there are.

    **Arguments:**

    - `features`, `actions`: the lengths of x and of u.
    - `size`: the number of units.
    - `layer_norm`: whether the units are normalised before ReLU.

    Reference for the last: Ba, Kiros and Hinton, *Layer normalization*, 2016.
    """

    of_features: eqx.nn.Linear
    of_action: eqx.nn.Linear
    norm: eqx.nn.LayerNorm | eqx.nn.Identity
    last: eqx.nn.Linear

    def __init__(self, features: int, actions: int, size: int, layer_norm: bool = False, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 3)
        self.of_features = eqx.nn.Linear(features, size, key=keys[0])
        self.of_action = eqx.nn.Linear(actions, size, use_bias=False, key=keys[1])
        self.norm = eqx.nn.LayerNorm(size) if layer_norm else eqx.nn.Identity()
        self.last = eqx.nn.Linear(size, "scalar", key=keys[2])

    def __call__(self, x: Float[Array, " features"], unit: Float[Array, " actions"]) -> Float[Array, ""]:
        return self.last(jax.nn.relu(self.norm(self.of_features(x) + self.of_action(unit))))


class ActionValueHead(eqx.Module):
    """Several critics that read the same features and an action.

    **Arguments:**

    - `features`, `actions`, `size`, `layer_norm`: those of an `ActionValue`.
    - `critics`: the number of critics.
    """

    critics: tuple[ActionValue, ...]

    def __init__(
        self, features: int, actions: int, size: int, critics: int, layer_norm: bool = False, *, key: PRNGKeyArray
    ):
        keys = jax.random.split(key, critics)
        self.critics = tuple(ActionValue(features, actions, size, layer_norm, key=key) for key in keys)

    def __call__(self, x: Float[Array, " features"], unit: Float[Array, " actions"]) -> Float[Array, " critics"]:
        return jnp.stack([critic(x, unit) for critic in self.critics])


class Reader(eqx.Module):
    """A policy without a memory of its own, which reads that of the critic.

    - `head`: maps the output of the memory to the action.
    """

    head: Callable[[Any], Any]


class Forked(AbstractCompositeCell):
    """A memory that a policy and critics read. The output is a pair, of which the policy's has no gradient."""

    cell: AbstractCell

    @property
    def parts(self) -> tuple[AbstractCell, ...]:
        return (self.cell,)

    def initial(self) -> State:
        return (self.cell.initial(),)

    def inputs(self, state: State, x: Any) -> tuple[Any, ...]:
        return (x,)

    def __call__(self, state: State, x: Any) -> tuple[State, Any]:
        after, output = self.cell(state[0], x)
        return (after,), (jax.lax.stop_gradient(output), output)

    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Any, flow: Float[Array, "time batch"]
    ) -> tuple[State, Any]:
        after, output = unroll(self.cell, state[0], first, x, flow)
        return (after,), (jax.lax.stop_gradient(output), output)


class PolicyQ(eqx.Module):
    """A policy and a critic network, as one model with an encoder and a memory. The head of the critic is called with the
    output of its memory and an action.

    - `policy`: the policy network, or a `Reader` of the critic's memory.
    - `critic`: the critic network, whose head is an `ActionValueHead`.
    - `log_alpha`: the logarithm of the temperature of SAC; `None` for other agents.
    """

    policy: Network | Reader
    critic: Network
    log_alpha: Float[Array, ""] | None = None

    @property
    def encoder(self) -> Callable[[Any], Any]:
        if isinstance(self.policy, Reader):
            return self.critic.encoder
        return SeparateEncoders((self.policy.encoder, self.critic.encoder))

    @property
    def memory(self) -> AbstractCell:
        if isinstance(self.policy, Reader):
            return Forked(self.critic.memory)
        return Separate((self.policy.memory, self.critic.memory))


class DDPGNetwork(eqx.Module):
    """Makes the network of DDPG and TD3: a deterministic policy and critics.

    **Arguments:**

    - `cell`: the memory, such as GRU(64). In Python, a maker `cell(input_size, key=key)`, such as
      `functools.partial(GRU, size=64)`.
    - `encoder`: the encoder of observations, such as Conv(). By default, observations are flattened. In Python, a maker
      `encoder(space, key=key)`, such as `Conv`.
    - `memory`: a memory whose output the cell reads beside the features, such as Pretrained('runs/memup', 'memory'). It
      gets no gradient from the policy or the critics. In Python, a maker `memory(input_size, key=key)`.
    - `shared_memory`: whether policy and critics share one encoder and one memory, which the critics alone train. By
      default, each has its own.
    - `critics`: the number of critics, which read one memory. Targets take the least of their values.
    - `critic_size`: the number of units between a critic's memory and its value.
    - `critic_layer_norm`: whether these units are normalised before ReLU.
    """

    cell: Callable[..., AbstractCell]
    encoder: Callable[..., AbstractEncoder] | None = None
    memory: Callable[..., AbstractCell] | None = None
    shared_memory: bool = False
    critics: int = 1
    critic_size: int = 64
    critic_layer_norm: bool = False

    def __check_init__(self):
        _check_critics(self)

    def __call__(self, env: AbstractEnv, *, key: PRNGKeyArray) -> PolicyQ:
        return _network(self, env, DeterministicHead, None, key)


class SACNetwork(eqx.Module):
    """Makes the network of SAC: a stochastic policy, critics, and a temperature of 1.

    **Arguments:**

    - `cell`: the memory, such as GRU(64). In Python, a maker `cell(input_size, key=key)`, such as
      `functools.partial(GRU, size=64)`.
    - `encoder`: the encoder of observations, such as Conv(). By default, observations are flattened. In Python, a maker
      `encoder(space, key=key)`, such as `Conv`.
    - `memory`: a memory whose output the cell reads beside the features, such as Pretrained('runs/memup', 'memory'). It
      gets no gradient from the policy or the critics. In Python, a maker `memory(input_size, key=key)`.
    - `shared_memory`: whether policy and critics share one encoder and one memory, which the critics alone train. By
      default, each has its own.
    - `critics`: the number of critics, which read one memory. Targets take the least of their values.
    - `critic_size`: the number of units between a critic's memory and its value.
    - `critic_layer_norm`: whether these units are normalised before ReLU.
    """

    cell: Callable[..., AbstractCell]
    encoder: Callable[..., AbstractEncoder] | None = None
    memory: Callable[..., AbstractCell] | None = None
    shared_memory: bool = False
    critics: int = 2
    critic_size: int = 64
    critic_layer_norm: bool = False

    def __check_init__(self):
        _check_critics(self)

    def __call__(self, env: AbstractEnv, *, key: PRNGKeyArray) -> PolicyQ:
        return _network(self, env, SquashedGaussianHead, jnp.zeros(()), key)


def _network(maker: Any, env: AbstractEnv, head: Any, log_alpha: Any, key: PRNGKeyArray) -> PolicyQ:
    policy_key, critic_key, head_key, value_key = jax.random.split(key, 4)
    actions = BoxActions(env, type(maker).__name__).size
    encoder, memory, size = trunk(maker, env.observation_space, critic_key)
    sizes = size, actions, maker.critic_size, maker.critics, maker.critic_layer_norm
    critic: Any = ActionValueHead(*sizes, key=value_key)
    policy = Reader(head(size, actions, key=head_key))
    if not maker.shared_memory:
        own_encoder, own_memory, _ = trunk(maker, env.observation_space, policy_key)
        policy = Network(own_encoder, own_memory, policy.head)
    return PolicyQ(policy, Network(encoder, memory, critic), log_alpha)


def _check_critics(maker: Any) -> None:
    if maker.critics < 1 or maker.critic_size < 1:
        raise InputError(
            f"{type(maker).__name__}(critics={maker.critics}, critic_size={maker.critic_size}): give at least 1 of each."
        )


def _small(features: int, size: int, key: PRNGKeyArray) -> eqx.nn.Linear:
    linear = eqx.nn.Linear(features, size, key=key)
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), linear, (0.01 * linear.weight, jnp.zeros(size)))
