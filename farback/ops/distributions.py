"""Distributions over actions, and their parameters from the output of a policy.

A policy's output is one vector, the parameters of all parts of the action space in the order of `jax.tree`: logits for
`Discrete`, `MultiDiscrete` and `MultiBinary`, means for a `Box`. With a `Box` in the space it is `(vector, log_std)`.
"""

import math
from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from farback.types import InputError


class AbstractDistribution(eqx.Module):
    """A distribution over the actions of one step."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray) -> Any:
        """An action."""

    @abstractmethod
    def mode(self) -> Any:
        """The likeliest action."""

    @abstractmethod
    def log_prob(self, action: Any) -> Float[Array, ""]:
        """Log π(a); the log density for continuous actions."""

    @abstractmethod
    def entropy(self) -> Float[Array, ""]:
        """H(π) = −E log π(a)."""

    @abstractmethod
    def divergence(self, other: Any) -> Float[Array, ""]:
        """KL(π ‖ other) = E [log π(a) − log other(a)], for another distribution of the same kind."""


class Categorical(AbstractDistribution):
    """One of n choices, numbered from `start`: π(a) ∝ exp(logits_a)."""

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
    """Independent Gaussian numbers. The environment clips actions outside of its space."""

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


class Bernoulli(AbstractDistribution):
    """Independent bits, π(a_i = 1) = σ(logits_i)."""

    logits: Float[Array, "*shape"]

    def sample(self, key: PRNGKeyArray) -> Int[Array, "*shape"]:
        return jax.random.bernoulli(key, jax.nn.sigmoid(self.logits)).astype(int)

    def mode(self) -> Int[Array, "*shape"]:
        return (self.logits > 0).astype(int)

    def log_prob(self, action: Int[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.sum(jax.nn.log_sigmoid(jnp.where(action == 1, self.logits, -self.logits)))

    def entropy(self) -> Float[Array, ""]:
        return jnp.sum(jax.nn.softplus(self.logits) - self.logits * jax.nn.sigmoid(self.logits))

    def divergence(self, other: "Bernoulli") -> Float[Array, ""]:
        apart = jax.nn.sigmoid(self.logits) * (self.logits - other.logits)
        return jnp.sum(apart + jax.nn.softplus(other.logits) - jax.nn.softplus(self.logits))


class Joint(AbstractDistribution):
    """Independent distributions over the parts of an action: log π(a) = Σ_i log π_i(a_i).

    **Arguments:**

    - `parts`: a pytree of distributions. Actions are pytrees of the same structure.
    """

    parts: PyTree[AbstractDistribution]

    def _flatten(self) -> tuple[list[Any], Any]:
        return jax.tree.flatten(self.parts, is_leaf=lambda part: isinstance(part, AbstractDistribution))

    def sample(self, key: PRNGKeyArray) -> Any:
        parts, structure = self._flatten()
        keys = jax.random.split(key, len(parts))
        return jax.tree.unflatten(structure, [part.sample(key) for part, key in zip(parts, keys, strict=True)])

    def mode(self) -> Any:
        parts, structure = self._flatten()
        return jax.tree.unflatten(structure, [part.mode() for part in parts])

    def log_prob(self, action: Any) -> Float[Array, ""]:
        parts, structure = self._flatten()
        pairs = zip(parts, structure.flatten_up_to(action), strict=True)
        return jnp.stack([part.log_prob(one) for part, one in pairs]).sum()

    def entropy(self) -> Float[Array, ""]:
        return jnp.stack([part.entropy() for part in self._flatten()[0]]).sum()

    def divergence(self, other: "Joint") -> Float[Array, ""]:
        pairs = zip(self._flatten()[0], other._flatten()[0], strict=True)
        return jnp.stack([part.divergence(one) for part, one in pairs]).sum()


class MultiCategorical(AbstractDistribution):
    """Independent choices in one array of integers.

    **Arguments:**

    - `choices`: a `Joint` of a tuple of `Categorical`, in the order of the raveled array.
    - `shape`: the shape of the array.
    """

    choices: Joint
    shape: tuple[int, ...] = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray) -> Int[Array, "*shape"]:
        return jnp.stack(self.choices.sample(key)).reshape(self.shape)

    def mode(self) -> Int[Array, "*shape"]:
        return jnp.stack(self.choices.mode()).reshape(self.shape)

    def log_prob(self, action: Int[Array, "*shape"]) -> Float[Array, ""]:
        return self.choices.log_prob(tuple(action.ravel()))

    def entropy(self) -> Float[Array, ""]:
        return self.choices.entropy()

    def divergence(self, other: "MultiCategorical") -> Float[Array, ""]:
        return self.choices.divergence(other.choices)


def distribution(space: Space[Any], output: Any) -> AbstractDistribution:
    """The distribution over the actions of a space that a policy's output describes.

    `Discrete` is read as a `Categorical`, `MultiDiscrete` as a `MultiCategorical`, `MultiBinary` as a `Bernoulli`, a `Box`
    of floats as a `Gaussian`, and a `Dict` or `Tuple` of these as the `Joint` of its parts.
    """
    named, structure = _named_parts(space)
    spaces = list(named.values())
    vector, log_std = output if isinstance(output, tuple) else (output, None)
    vectors = _split(vector, [_size(part) for part in spaces])
    deviations = iter([] if log_std is None else _split(log_std, [_size(part) for part in spaces if isinstance(part, Box)]))
    pairs = zip(spaces, vectors, strict=True)
    simple = [_simple(part, one, next(deviations) if isinstance(part, Box) else None) for part, one in pairs]
    return Joint(jax.tree.unflatten(structure, simple)) if isinstance(space, Dict | Tuple) else simple[0]


def parameter_size(space: Space[Any]) -> int:
    """The length of the vector of parameters that a policy outputs for the actions of a space."""
    return sum(_size(part) for part in _named_parts(space)[0].values())


def log_std_size(space: Space[Any]) -> int:
    """The length of the `log_std` that a policy outputs next to its vector; 0 if the actions have no continuous part."""
    return sum(_size(part) for part in _named_parts(space)[0].values() if isinstance(part, Box))


def check_policy_output(space: Space[Any], output: Any) -> None:
    """Refuses an output of a policy, or its shapes by `jax.eval_shape`, that `distribution` cannot read."""
    size, deviations = parameter_size(space), log_std_size(space)
    expected = ((size,), (deviations,)) if deviations else (size,)
    given = jax.tree.map(lambda leaf: tuple(jnp.shape(leaf)), output)
    floating = all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(output))
    if isinstance(output, list) or given != expected or not floating:
        pair = f"a pair (vector of {size}, log_std of {deviations})" if deviations else f"a vector of {size}"
        raise InputError(
            f"The policy's output is {output}, but the action space {space} needs {pair} floats: end the policy with "
            f"PolicyHead(features, env.action_space, key=key)."
        )


def _split(vector: Float[Array, " size"], sizes: list[int]) -> list[Float[Array, " _"]]:
    return jnp.split(vector, np.cumsum(sizes)[:-1].tolist()) if len(sizes) > 1 else [vector]


def _simple(space: Space[Any], vector: Any, log_std: Any) -> AbstractDistribution:
    match space:
        case Discrete():
            return Categorical(vector, int(space.start))
        case MultiDiscrete():
            logits = _split(vector, space.nvec.ravel().tolist())
            choices = tuple(Categorical(*pair) for pair in zip(logits, space.start.ravel().tolist(), strict=True))
            return MultiCategorical(Joint(choices), space.nvec.shape)
        case MultiBinary():
            return Bernoulli(vector.reshape(space.shape))
        case _:
            return Gaussian(vector.reshape(space.shape), log_std.reshape(space.shape))


def _size(space: Space[Any]) -> int:
    match space:
        case Discrete():
            return int(space.n)
        case MultiDiscrete():
            return int(space.nvec.sum())
        case _:
            return math.prod(space.shape or ())


def _named_parts(space: Space[Any]) -> tuple[dict[str, Space[Any]], Any]:
    """The simple spaces by name, such as `['a'][0]`, in the order of `jax.tree`, and the structure of an action."""
    leaves, structure = jax.tree.flatten_with_path(_tree(space))
    named = {jax.tree_util.keystr(path): part for path, part in leaves}
    for name, part in named.items():
        _require_supported(name, part)
    if not named:
        raise InputError(f"action_space={space}: there is nothing to choose; give a Dict or Tuple with at least one space.")
    return named, structure


def _tree(space: Space[Any]) -> Any:
    if isinstance(space, Dict):
        return {name: _tree(part) for name, part in space.items()}
    return tuple(map(_tree, space.spaces)) if isinstance(space, Tuple) else space


def _require_supported(name: str, space: Space[Any]) -> None:
    if isinstance(space, Discrete | MultiDiscrete | MultiBinary):
        return
    if not isinstance(space, Box):
        raise InputError(
            f"action_space{name}={space}: a policy has no distribution over {type(space).__name__} spaces, whose elements "
            f"have no fixed shape; give Discrete, MultiDiscrete, MultiBinary, a Box of floats, or a Dict or Tuple of them."
        )
    if not jnp.issubdtype(space.dtype, jnp.floating):
        raise InputError(
            f"action_space{name}={space}: a policy has no distribution over a Box of integers; give Discrete or "
            f"MultiDiscrete, with `start` for the lowest, or a Box of floats."
        )
