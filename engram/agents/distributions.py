"""What a policy's output means: a distribution over actions."""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium.spaces import Box, Discrete, Space
from jaxtyping import Array, Float, Int, PRNGKeyArray

from engram.types import InputError


class AbstractDistribution(eqx.Module):
    """A distribution over the actions of one step."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray) -> Array:
        """An action."""

    @abstractmethod
    def mode(self) -> Array:
        """The likeliest action."""

    @abstractmethod
    def log_prob(self, action: Array) -> Float[Array, ""]:
        """Log π(a), for continuous actions that of the density."""

    @abstractmethod
    def entropy(self) -> Float[Array, ""]:
        """H(π) = −E log π(a)."""

    @abstractmethod
    def divergence(self, other: Any) -> Float[Array, ""]:
        """KL(π ‖ other) = E [log π(a) − log other(a)], of another of the same kind."""


class Categorical(AbstractDistribution):
    """One of n choices, π(a) ∝ exp(logits_a), the first of which is called `start`."""

    logits: Float[Array, " choices"]
    start: int = eqx.field(default=0, static=True)

    def sample(self, key: PRNGKeyArray) -> Int[Array, ""]:
        return self.start + jax.random.categorical(key, self.logits).astype(int)

    def mode(self) -> Int[Array, ""]:
        return self.start + jnp.argmax(self.logits).astype(int)

    def log_prob(self, action: Int[Array, ""]) -> Float[Array, ""]:
        return jax.nn.log_softmax(self.logits)[action - self.start]

    def entropy(self) -> Float[Array, ""]:
        log = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log) * log)

    def divergence(self, other: "Categorical") -> Float[Array, ""]:
        log = jax.nn.log_softmax(self.logits)
        return jnp.sum(jnp.exp(log) * (log - jax.nn.log_softmax(other.logits)))


class Gaussian(AbstractDistribution):
    """Independent Gaussian numbers; whatever lies outside of the space is clipped by the environment."""

    mean: Float[Array, "*shape"]
    log_std: Float[Array, "*shape"]

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*shape"]:
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)

    def mode(self) -> Float[Array, "*shape"]:
        return self.mean

    def log_prob(self, action: Float[Array, "*shape"]) -> Float[Array, ""]:
        deviate = (action - self.mean) / jnp.exp(self.log_std)
        return -jnp.sum(deviate**2 / 2 + self.log_std + math.log(2 * math.pi) / 2)

    def entropy(self) -> Float[Array, ""]:
        return jnp.sum(self.log_std + math.log(2 * math.pi * math.e) / 2)

    def divergence(self, other: "Gaussian") -> Float[Array, ""]:
        ratio = jnp.exp(2 * (self.log_std - other.log_std))
        apart = ((self.mean - other.mean) / jnp.exp(other.log_std)) ** 2
        return jnp.sum((ratio + apart - 1) / 2 + other.log_std - self.log_std)


class PolicyHead(eqx.Module):
    """The layer that ends a policy: from features to what `distribution` reads.

    Its weights begin small, so that all actions are about as likely at first. Of continuous actions, the features give the
    mean, and the standard deviation is a parameter of its own, 1 at first.
    """

    linear: Callable[[Array], Array]
    log_std: Float[Array, " actions"] | None

    def __init__(self, features: int, space: Space[Any], *, key: PRNGKeyArray):
        size = outputs(space)
        linear = eqx.nn.Linear(features, size, key=key)
        small = (0.01 * linear.weight, jnp.zeros(size))
        self.linear = eqx.tree_at(lambda layer: (layer.weight, layer.bias), linear, small)
        self.log_std = jnp.zeros(size) if isinstance(space, Box) else None

    def __call__(self, x: Float[Array, " features"]) -> Any:
        means = self.linear(x)
        return means if self.log_std is None else (means, self.log_std)


def outputs(space: Space[Any]) -> int:
    """How many numbers a policy gives for the actions of a space."""
    match space:
        case Discrete():
            return int(space.n)
        case Box() if jnp.issubdtype(space.dtype, jnp.floating):
            return math.prod(space.shape)
        case _:
            raise InputError(f"Agents choose among Discrete actions, or in a Box of floats; {space} is neither.")


def distribution(space: Space[Any], output: Any) -> AbstractDistribution:
    """The distribution over the actions of a space that a policy's output means."""
    if isinstance(space, Discrete):
        return Categorical(output, int(space.start))
    mean, log_std = output
    return Gaussian(mean.reshape(space.shape), log_std.reshape(space.shape))
