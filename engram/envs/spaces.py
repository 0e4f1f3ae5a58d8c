"""Gymnasium's spaces, within compiled programs."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple
from jaxtyping import Array, Float, PRNGKeyArray

from engram.types import InputError


def parts(space: Space[Any], of: Any) -> list[tuple[Space[Any], Any]]:
    """The simple spaces that a space is made of, each with its part of an element."""
    if isinstance(space, Dict):
        return [pair for name, part in space.items() for pair in parts(part, of[name])]
    if isinstance(space, Tuple):
        return [pair for part, one in zip(space.spaces, of, strict=True) for pair in parts(part, one)]
    if not isinstance(space, Box | Discrete | MultiBinary | MultiDiscrete):
        raise InputError(
            f"{type(space).__name__} spaces have no arrays of a fixed shape: give Box, Discrete, MultiBinary, "
            f"MultiDiscrete, or a Dict or Tuple of them."
        )
    return [(space, of)]


def names(space: Space[Any], name: str = "") -> Any:
    """What each part is called, in the structure of the space."""
    if isinstance(space, Dict):
        return {key: names(part, f"{name}[{key!r}]") for key, part in space.items()}
    if isinstance(space, Tuple):
        return tuple(names(part, f"{name}[{index}]") for index, part in enumerate(space.spaces))
    return name


def mapped(function: Callable[[Space[Any], Any], Any], space: Space[Any], x: Any) -> Any:
    """An element of a space, of whose parts `function(space, part)` is taken."""
    if isinstance(space, Dict):
        return {name: mapped(function, part, x[name]) for name, part in space.items()}
    if isinstance(space, Tuple):
        return tuple(mapped(function, part, one) for part, one in zip(space.spaces, x, strict=True))
    return function(space, x)


def as_array(space: Space[Any], x: Any) -> Array:
    """What lies in a simple space, of the kind that the space says and the usual number of bits."""
    return jnp.asarray(x).astype(float if np.issubdtype(space.dtype, np.floating) else int)


def width(space: Space[Any]) -> int:
    """The length of `flat`."""
    return sum(_width(part) for part, _ in parts(space, names(space)))


def _width(space: Space[Any]) -> int:
    match space:
        case Discrete():
            return int(space.n)
        case MultiDiscrete():
            return int(np.sum(space.nvec))
        case _:
            return math.prod(space.shape or ())


def flat(space: Space[Any], x: Any) -> Float[Array, " width"]:
    """An element of a space as one vector: numbers as they are, choices one-hot."""
    return jnp.concatenate([_flat(part, one) for part, one in parts(space, x)])


def _flat(space: Space[Any], x: Any) -> Float[Array, " width"]:
    match space:
        case Discrete():
            return jax.nn.one_hot(x - space.start, int(space.n))
        case MultiDiscrete():
            choices = zip((x - space.start).ravel(), space.nvec.ravel(), strict=True)
            return jnp.concatenate([jax.nn.one_hot(choice, int(count)) for choice, count in choices])
        case _:
            return jnp.ravel(x).astype(float)


def sample(space: Space[Any], key: PRNGKeyArray) -> Any:
    """An element drawn uniformly; in directions without a bound, from an exponential or a Gaussian, as Gymnasium does."""
    match space:
        case Dict():
            keys = jax.random.split(key, len(space.spaces))
            return {name: sample(part, key) for (name, part), key in zip(space.items(), keys, strict=True)}
        case Tuple():
            keys = jax.random.split(key, len(space.spaces))
            return tuple(sample(part, key) for part, key in zip(space.spaces, keys, strict=True))
        case Discrete():
            return jax.random.randint(key, (), int(space.start), int(space.start + space.n), int)
        case MultiDiscrete():
            return space.start + jax.random.randint(key, space.nvec.shape, 0, jnp.asarray(space.nvec, int), int)
        case MultiBinary():
            return jax.random.bernoulli(key, shape=space.shape).astype(int)
        case Box():
            return _sample_box(space, key)
        case _:
            return parts(space, None)


def _sample_box(space: Box, key: PRNGKeyArray) -> Array:
    between, beyond = jax.random.split(key)
    low, high = (jnp.asarray(np.where(np.isfinite(bound), bound, 0), float) for bound in (space.low, space.high))
    uniform = low + jax.random.uniform(between, space.shape) * (high - low)
    far = jax.random.exponential(beyond, space.shape)
    above, below = low + far, high - far
    two_sided = jax.random.normal(beyond, space.shape)
    bounded = jnp.where(space.bounded_below, jnp.where(space.bounded_above, uniform, above), below)
    drawn = jnp.where(space.bounded_below | space.bounded_above, bounded, two_sided)
    return drawn if np.issubdtype(space.dtype, np.floating) else jnp.floor(drawn).astype(int)


def contains(space: Space[Any], x: Any, batch: tuple[int, ...] = ()) -> bool:
    """Whether concrete elements, of leading shape `batch`, all lie in a simple space, but for their number of bits."""
    x = np.asarray(x)
    kind = np.floating if np.issubdtype(space.dtype, np.floating) else np.integer
    if x.shape != batch + (space.shape or ()) or not np.issubdtype(x.dtype, kind):
        return False
    low, high = bounds(space)
    slack = 1e-6 * (1 + np.abs(x)) if kind is np.floating else 0
    return bool(((x >= low - slack) & (x <= high + slack)).all())


def bounds(space: Space[Any]) -> tuple[Any, Any]:
    """The least and the greatest of a simple space."""
    match space:
        case Box():
            return space.low, space.high
        case Discrete():
            return space.start, space.start + space.n - 1
        case MultiDiscrete():
            return space.start, space.start + space.nvec - 1
        case _:
            return 0, 1
