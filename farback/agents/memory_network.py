"""The network of deep memory states: a policy whose memory is an action, and a critic that reads the memory.

Reference: Pong, Gu and Levine, *Learning long-term dependencies with deep memory states*, 2017.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from farback.agents.box_actions import BoxActions
from farback.cell import AbstractCell, State
from farback.encoders import Flatten, features_size
from farback.envs.base import AbstractEnv
from farback.network import AbstractEncoder
from farback.types import InputError

Vector = Float[Array, " _"]
LARGEST_ACTION_WEIGHT, LARGEST_VALUE_WEIGHT = 1e-3, 3e-3
"""The bounds of the initial weights of the last layers."""


class Written(NamedTuple):
    """One step of a memory: the features x_t, the memory m_t that the policy reads, and the memory w_t that it writes."""

    features: Any
    memory: State
    write: State


class WritingCell(AbstractCell):
    """A cell with the output `(x_t, m_t, w_t)`."""

    cell: AbstractCell

    def initial(self) -> State:
        return self.cell.initial()

    def __call__(self, state: State, x: Any) -> tuple[State, Written]:
        write, _ = self.cell(state, x)
        return write, Written(x, state, write)


class ActionHead(eqx.Module):
    """u = tanh(W₃ tanh(W₂ tanh(W₁ [x, m]))), with biases: an action in [−1, 1].

    **Arguments:**

    - `features`, `memory`, `actions`: the lengths of x, of m and of u.
    - `first`, `second`: the numbers of units.
    """

    layers: tuple[eqx.nn.Linear, ...]

    def __init__(self, features: int, memory: int, actions: int, first: int, second: int, *, key: PRNGKeyArray):
        first_key, second_key, last_key = jax.random.split(key, 3)
        hidden = _linear(features + memory, first, first_key), _linear(first, second, second_key)
        self.layers = (*hidden, _last(second, actions, LARGEST_ACTION_WEIGHT, last_key))

    def __call__(self, x: Vector, memory: Vector) -> Float[Array, " actions"]:
        found = jnp.concatenate([x, memory])
        for layer in self.layers:
            found = jnp.tanh(layer(found))
        return found


class Critic(eqx.Module):
    """The value of an observation, a memory, an action and a write:

        Q(o, m, u, w) = W₃ ReLU(W₂ [ReLU(W₁ [x, m]), u, w]),      x = encoder(o),      with biases

    **Arguments:**

    - `encoder`: the encoder.
    - `features`, `memory`, `actions`: the lengths of x, of m and w, and of u.
    - `first`, `second`: the numbers of units.
    - `sees_memory`: whether m and w are read; otherwise both are 0.
    """

    encoder: Callable[[Any], Any]
    first: eqx.nn.Linear
    second: eqx.nn.Linear
    last: eqx.nn.Linear
    sees_memory: bool = eqx.field(static=True)

    def __init__(
        self,
        encoder: Callable[[Any], Any],
        features: int,
        memory: int,
        actions: int,
        first: int,
        second: int,
        sees_memory: bool,
        *,
        key: PRNGKeyArray,
    ):
        first_key, second_key, last_key = jax.random.split(key, 3)
        self.encoder, self.sees_memory = encoder, sees_memory
        self.first = _linear(features + memory, first, first_key)
        self.second = _linear(first + actions + memory, second, second_key)
        self.last = _last(second, 1, LARGEST_VALUE_WEIGHT, last_key)

    def __call__(self, observation: Any, memory: Vector, unit: Vector, write: Vector) -> Float[Array, ""]:
        if not self.sees_memory:
            memory, write = jnp.zeros_like(memory), jnp.zeros_like(write)
        seen = jax.nn.relu(self.first(jnp.concatenate([self.encoder(observation), memory])))
        return self.last(jax.nn.relu(self.second(jnp.concatenate([seen, unit, write]))))[0]


class MemoryPolicyQ(eqx.Module):
    """A policy whose memory is an action, and its critic.

        x_t = encoder(o_t),      u_t = action_head(x_t, m_t),      w_t = cell(m_t, x_t),      m_{t+1} = w_t

    - `encoder`, `cell`, `action_head`: the policy.
    - `critic`: the critic.
    """

    encoder: Callable[[Any], Any]
    cell: AbstractCell
    action_head: ActionHead
    critic: Critic

    @property
    def memory(self) -> WritingCell:
        return WritingCell(self.cell)

    def act(self, step: Written) -> Float[Array, " actions"]:
        """Returns the action u_t of a step."""
        return self.action_head(step.features, vector(step.memory))


class MemoryActorCriticNetwork(eqx.Module):
    """Makes the network of `MemoryActorCritic`: a policy that writes its memory by a cell, and a critic without a memory of
    its own, which reads the policy's.

    **Arguments:**

    - `cell`: the memory, such as GRU(100). In Python, a maker `cell(input_size, key=key)`, such as
      `functools.partial(GRU, size=100)`. Its state must consist of floats; its output is not used.
    - `encoder`: the encoder of observations, such as Conv(). By default, observations are flattened. In Python, a maker
      `encoder(space, key=key)`, such as `Conv`.
    - `first_size`, `second_size`: the numbers of units of the two layers of the action head, and of those of the critic.
    - `critic_sees_memory`: whether the critic reads the memory and the write. Without them, nothing teaches the memory what
      is needed after the end of a window.
    """

    cell: Callable[..., AbstractCell]
    encoder: Callable[..., AbstractEncoder] | None = None
    first_size: int = 400
    second_size: int = 300
    critic_sees_memory: bool = True

    def __check_init__(self):
        if self.first_size < 1 or self.second_size < 1:
            raise InputError(
                f"MemoryActorCriticNetwork(first_size={self.first_size}, second_size={self.second_size}): give at least 1 "
                f"of each."
            )

    def __call__(self, env: AbstractEnv, *, key: PRNGKeyArray) -> MemoryPolicyQ:
        space, actions = env.observation_space, BoxActions(env, type(self).__name__).size
        keys = jax.random.split(key, 5)

        def encoder(key: PRNGKeyArray) -> Callable[[Any], Any]:
            return Flatten(space) if self.encoder is None else self.encoder(space, key=key)

        ours, theirs = encoder(keys[0]), encoder(keys[1])
        features = features_size(ours, space)
        cell = self.cell(features, key=keys[2])
        sizes = (features, memory_size(cell), actions, self.first_size, self.second_size)
        critic = Critic(theirs, *sizes, self.critic_sees_memory, key=keys[4])
        return MemoryPolicyQ(ours, cell, ActionHead(*sizes, key=keys[3]), critic)


def memory_size(cell: AbstractCell) -> int:
    """The number of floats in the state of a cell. Raises if there are none, or other numbers."""
    leaves = jax.tree.leaves(jax.eval_shape(cell.initial))
    if not leaves or not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        found = ", ".join(str(leaf.dtype) for leaf in leaves) or "none"
        raise InputError(
            f"MemoryActorCritic reads and writes the state of its cell as floats, but that of {type(cell).__name__} is "
            f"{found}: give a cell with a state of floats, such as GRU(100)."
        )
    return sum(leaf.size for leaf in leaves)


def vector(state: State) -> Vector:
    """The floats of a state as one vector."""
    return ravel_pytree(state)[0]


def _linear(inputs: int, outputs: int, key: PRNGKeyArray) -> eqx.nn.Linear:
    """A layer with weights w ~ N(0, 2 / inputs), of He et al. (2015), and zero biases."""
    layer, weight = eqx.nn.Linear(inputs, outputs, key=key), jax.random.normal(key, (outputs, inputs))
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, ((2 / inputs) ** 0.5 * weight, jnp.zeros(outputs)))


def _last(inputs: int, outputs: int, bound: float, key: PRNGKeyArray) -> eqx.nn.Linear:
    """A layer with weights and biases uniform in ±bound."""
    layer = eqx.nn.Linear(inputs, outputs, key=key)
    factor = bound * inputs**0.5
    return jax.tree.map(lambda leaf: factor * leaf if eqx.is_array(leaf) else leaf, layer)
