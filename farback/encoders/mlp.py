"""Rectified layers on the flattened observation."""

from typing import Any

import equinox as eqx
import jax
from gymnasium.spaces import Space
from jaxtyping import Array, Float, PRNGKeyArray

from farback.encoders.base import flat_size, require_sizes
from farback.encoders.flatten import Flatten
from farback.network import AbstractEncoder
from farback.types import InputError


class MLP(AbstractEncoder):
    """`Flatten`, followed by n rectified layers:

        features = ReLU(W_n … ReLU(W_1 x + b_1) … + b_n)

    Use it where the memory should read learned features of a small observation. For images use `Conv`.

    **Arguments:**

    - `space`: the observation space: Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of them.
    - `size`: the number of units of each layer.
    - `layers`: n, the number of layers.

    Reference: Nair and Hinton, *Rectified linear units improve restricted Boltzmann machines*, ICML 2010.
    """

    flatten: Flatten
    layers: tuple[eqx.nn.Linear, ...]

    def __init__(self, space: Space[Any], size: int, layers: int = 2, *, key: PRNGKeyArray):
        inputs = flat_size("MLP", space)
        if inputs == 0:
            raise InputError(
                f"MLP(space={space}): its observations have no numbers; give a space with numbers, or use Flatten."
            )
        require_sizes("MLP", size=size, layers=layers)
        sizes = [inputs] + [size] * (layers - 1)
        keys = jax.random.split(key, layers)
        self.flatten = Flatten(space)
        self.layers = tuple(eqx.nn.Linear(before, size, key=key) for before, key in zip(sizes, keys, strict=True))

    def __call__(self, observation: Any) -> Float[Array, " size"]:
        x = self.flatten(observation)
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return x
