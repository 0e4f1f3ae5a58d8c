"""An encoder for each part of an observation."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium.spaces import Dict, Space, Tuple
from jaxtyping import Array, Float, PRNGKeyArray

from farback.encoders.base import Encoder, features_size, flat_size
from farback.encoders.flatten import Flatten
from farback.network import AbstractEncoder, observed
from farback.types import InputError

Maker = Callable[..., AbstractEncoder]
"""`(space, *, key) -> encoder`: the class of an encoder, or a `functools.partial` of it."""


class DictEncoder(AbstractEncoder):
    """Encodes each key of a Dict space, or each index of a Tuple space, by its own encoder, and concatenates the features
    in the order of the space.

    ```python
    DictEncoder(space, image=Conv, instruction=functools.partial(MLP, size=32), key=key)
    DictEncoder(Tuple([image, speed]), {0: Conv}, key=key)
    ```

    **Arguments:**

    - `space`: a Dict or Tuple space.
    - `encoders`: maps a key of the space to the maker of its encoder, `(space, *, key) -> encoder`. Other keys use
        `Flatten`.
    - `named`: the same, as keyword arguments.
    """

    encoders: dict[Any, Encoder]
    order: tuple[Any, ...] = eqx.field(static=True)

    def __init__(
        self, space: Space[Any], encoders: Mapping[Any, Maker] | None = None, *, key: PRNGKeyArray, **named: Maker
    ):
        if not isinstance(space, Dict | Tuple):
            raise InputError(
                f"DictEncoder(space={space}): it reads a Dict or Tuple; use Flatten, MLP or Conv for this space."
            )
        flat_size("DictEncoder", space)
        spaces = dict(space.items()) if isinstance(space, Dict) else dict(enumerate(space.spaces))
        makers = {**(encoders or {}), **named}
        for name, maker in makers.items():
            _require_maker(space, tuple(spaces), name, maker)
        keys = jax.random.split(key, len(spaces))
        self.order = tuple(spaces)
        self.encoders = {
            name: makers.get(name, Flatten)(part, key=key) for (name, part), key in zip(spaces.items(), keys, strict=True)
        }
        for name, part in spaces.items():
            features_size(self.encoders[name], part)

    def __call__(self, observation: Any) -> Float[Array, " features"]:
        return jnp.concatenate([self.encoders[name](observation[name]) for name in self.order])

    def observed(self, observations: Any) -> "DictEncoder":
        after = {name: observed(self.encoders[name], observations[name]) for name in self.order}
        return eqx.tree_at(lambda encoder: encoder.encoders, self, after)


def _require_maker(space: Space[Any], keys: tuple[Any, ...], name: Any, maker: Any) -> None:
    if name not in keys:
        raise InputError(f"DictEncoder(encoders): {space} has no {name!r}; its keys are {', '.join(map(repr, keys))}.")
    if isinstance(maker, AbstractEncoder) or not callable(maker):
        raise InputError(
            f"DictEncoder(encoders): {name!r} has {maker!r}, which makes no encoder; give a function of (space, *, key), "
            f"such as Conv or functools.partial(MLP, size=32)."
        )
