"""Gymnasium's spaces, within compiled programs.

Elements are arrays of the default integer or float type, except for a `Box` of uint8, which keeps its dtype: images stay
small until the encoder divides them by 255 (only in `normalise`).
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple
from jaxtyping import Array, Float, PRNGKeyArray

from farback.types import InputError


class HashableSpace:
    """A space as the static field of a module. JAX hashes static fields, and Gymnasium's spaces have no hash.

    **Arguments:**

    - `space`: a space that `parts` accepts; `unwrapped` is that space again.
    """

    def __init__(self, space: Space[Any]):
        self.unwrapped = space
        self._hash = hash(tuple((type(part).__name__, part.shape) for part, _ in parts(space, names(space))))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HashableSpace):
            return False
        return self.unwrapped is other.unwrapped or bool(self.unwrapped == other.unwrapped)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return repr(self.unwrapped)


def parts(space: Space[Any], x: Any) -> list[tuple[Space[Any], Any]]:
    """The simple spaces that a space is made of, each with its part of the element `x`."""
    if isinstance(space, Dict):
        return [pair for name, part in space.items() for pair in parts(part, x[name])]
    if isinstance(space, Tuple):
        return [pair for part, one in zip(space.spaces, x, strict=True) for pair in parts(part, one)]
    if not isinstance(space, Box | Discrete | MultiBinary | MultiDiscrete):
        raise InputError(
            f"{type(space).__name__} spaces have no arrays of a fixed shape: give Box, Discrete, MultiBinary, "
            f"MultiDiscrete, or a Dict or Tuple of them."
        )
    return [(space, x)]


def names(space: Space[Any], name: str = "") -> Any:
    """The name of each part, such as `['a'][0]`, in the structure of the space."""
    if isinstance(space, Dict):
        return {key: names(part, f"{name}[{key!r}]") for key, part in space.items()}
    if isinstance(space, Tuple):
        return tuple(names(part, f"{name}[{index}]") for index, part in enumerate(space.spaces))
    return name


def mapped(function: Callable[[Space[Any], Any], Any], space: Space[Any], x: Any) -> Any:
    """`function(space, part)` of each part of an element, in the structure of the space."""
    if isinstance(space, Dict):
        return {name: mapped(function, part, x[name]) for name, part in space.items()}
    if isinstance(space, Tuple):
        return tuple(mapped(function, part, one) for part, one in zip(space.spaces, x, strict=True))
    return function(space, x)


def is_uint8(space: Space[Any]) -> bool:
    """Whether a space is a `Box` of uint8, as for images."""
    return isinstance(space, Box) and space.dtype == np.uint8


def as_array(space: Space[Any], x: Any) -> Array:
    """An element of a simple space as an array: uint8 for a `Box` of uint8, else the default float or integer."""
    if is_uint8(space):
        return jnp.asarray(x).astype(jnp.uint8)
    return jnp.asarray(x).astype(float if np.issubdtype(space.dtype, np.floating) else int)


def normalise(space: Space[Any], x: Any) -> Float[Array, "..."]:
    """The numbers of a `Box` or a `MultiBinary` as floats: x / 255 for a `Box` of uint8, x otherwise."""
    x = jnp.asarray(x)
    if not is_uint8(space):
        return x.astype(float)
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise InputError(
            f"x: an observation of {space} is {x.dtype}, but encoders divide the uint8 of this space by 255 themselves: "
            f"give integers of 0 to 255, or make the space a Box of floats."
        )
    return x.astype(float) / 255


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
    """An element of a space as one vector: choices one-hot, numbers as `normalise` gives them."""
    return jnp.concatenate([_flat(part, one) for part, one in parts(space, x)])


def _flat(space: Space[Any], x: Any) -> Float[Array, " width"]:
    match space:
        case Discrete():
            return jax.nn.one_hot(jnp.asarray(x).astype(int) - int(space.start), int(space.n))
        case MultiDiscrete():
            choices = (jnp.asarray(x).astype(int) - jnp.asarray(space.start, int)).ravel()
            pairs = zip(choices, space.nvec.ravel(), strict=True)
            return jnp.concatenate([jax.nn.one_hot(choice, int(count)) for choice, count in pairs])
        case _:
            return jnp.ravel(normalise(space, x))


def sample(space: Space[Any], key: PRNGKeyArray) -> Any:
    """An element drawn uniformly; unbounded parts are exponential or Gaussian, as in Gymnasium."""
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
            start, nvec = jnp.asarray(space.start, int), jnp.asarray(space.nvec, int)
            return start + jax.random.randint(key, space.nvec.shape, 0, nvec, int)
        case MultiBinary():
            return jax.random.bernoulli(key, shape=space.shape).astype(int)
        case Box():
            return _sample_box(space, key)
        case _:
            return parts(space, None)  # raises the InputError for spaces without arrays


def _sample_box(space: Box, key: PRNGKeyArray) -> Array:
    between, beyond = jax.random.split(key)
    floating = np.issubdtype(space.dtype, np.floating)
    low, high = (jnp.asarray(np.where(np.isfinite(bound), bound, 0), float) for bound in (space.low, space.high))
    end = high if floating else high + 1
    uniform = low + jax.random.uniform(between, space.shape) * (end - low)
    far = jax.random.exponential(beyond, space.shape)
    above, below = low + far, end - far
    two_sided = jax.random.normal(beyond, space.shape)
    bounded = jnp.where(space.bounded_below, jnp.where(space.bounded_above, uniform, above), below)
    drawn = jnp.where(space.bounded_below | space.bounded_above, bounded, two_sided)
    return as_array(space, drawn if floating else jnp.clip(jnp.floor(drawn), low, high))


def contains(space: Space[Any], x: Any, batch: tuple[int, ...] = ()) -> bool:
    """Whether concrete elements, of leading shape `batch`, all lie in a simple space. The bits of a dtype do not matter."""
    x = np.asarray(x)
    kind = np.floating if np.issubdtype(space.dtype, np.floating) else np.integer
    if x.shape != batch + (space.shape or ()) or not np.issubdtype(x.dtype, kind):
        return False
    low, high = bounds(space)
    slack = 1e-6 * (1 + np.abs(x)) if kind is np.floating else 0
    return bool(((x >= low - slack) & (x <= high + slack)).all())


def bounds(space: Space[Any]) -> tuple[Any, Any]:
    """The least and the greatest value of a simple space."""
    match space:
        case Box():
            return space.low, space.high
        case Discrete():
            return space.start, space.start + space.n - 1
        case MultiDiscrete():
            return space.start, space.start + space.nvec - 1
        case _:
            return 0, 1
