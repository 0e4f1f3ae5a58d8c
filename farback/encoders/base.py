"""Helpers of encoders: the size of their features, and checks of arguments and observations."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from gymnasium.spaces import Space

from farback.envs.spaces import names, parts, sample, width
from farback.types import InputError

Encoder = Callable[[Any], Any]
"""An `AbstractEncoder`, or any function from an observation to features."""


def features_size(encoder: Encoder, space: Space[Any]) -> int:
    """The length of an encoder's feature vector, from its shapes alone (`jax.eval_shape`)."""
    found = jax.eval_shape(lambda: encoder(sample(space, jax.random.key(0))))
    if isinstance(found, jax.ShapeDtypeStruct) and len(found.shape) == 1 and jnp.issubdtype(found.dtype, jnp.floating):
        return found.shape[0]
    raise InputError(
        f"encoder={encoder}: its features are {found}, but a memory reads one vector of floats; flatten and concatenate "
        f"them."
    )


def flat_size(encoder: str, space: Space[Any]) -> int:
    """The width of a space, or an error that names the encoder that cannot flatten it."""
    try:
        size, empty = width(space), not parts(space, names(space))
    except InputError as error:
        raise InputError(f"{encoder}(space={space}): {error}") from error
    if empty:
        raise InputError(
            f"{encoder}(space={space}): there is nothing to encode; give a Dict or Tuple with at least one space."
        )
    return size


def require_sizes(encoder: str, **sizes: Any) -> None:
    """Refuses sizes that are not positive whole numbers."""
    for name, value in sizes.items():
        each = value if isinstance(value, tuple) else (value,)
        if not each or any(not isinstance(size, int) or size < 1 for size in each):
            raise InputError(f"{encoder}({name}={value!r}): sizes are positive whole numbers; give {name} >= 1.")


def require_observation(encoder: str, space: Space[Any], observation: Any) -> None:
    """Refuses an observation whose arrays do not have the shapes of the encoder's space, such as a whole batch."""
    for (part, x), (_, name) in zip(parts(space, observation), parts(space, names(space)), strict=True):
        if jnp.shape(x) != part.shape:
            raise InputError(
                f"{encoder}: observation{name} has shape {jnp.shape(x)}, but its space has {part.shape}; give a single "
                f"observation of {space} (jax.vmap adds batch axes), or make the encoder for another space."
            )
