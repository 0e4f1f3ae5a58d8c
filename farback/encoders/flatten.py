"""Observations flattened to one vector."""

from typing import Any

import equinox as eqx
from gymnasium.spaces import Space
from jaxtyping import Array, Float, PRNGKeyArray

from farback.encoders.base import flat_size, require_observation
from farback.envs.spaces import HashableSpace, flat
from farback.network import AbstractEncoder


class Flatten(AbstractEncoder):
    """All parts of an observation in one vector: choices one-hot, floats as they are, uint8 divided by 255.

    The default encoder. It has no parameters: the memory reads the observation itself. For images use `Conv`.

    **Arguments:**

    - `space`: the observation space: Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of them.
    - `key`: not used. Every encoder can be made by `encoder(space, key=key)`.
    """

    space: HashableSpace = eqx.field(static=True)

    def __init__(self, space: Space[Any], *, key: PRNGKeyArray | None = None):
        flat_size("Flatten", space)
        self.space = HashableSpace(space)

    def __call__(self, observation: Any) -> Float[Array, " features"]:
        require_observation("Flatten", self.space.unwrapped, observation)
        return flat(self.space.unwrapped, observation)
