"""The encoder and the memory of an agent's network."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from farback.cell import AbstractCell, output_size
from farback.cells import SkipConcat
from farback.cells.chain import Chain
from farback.encoders import Flatten, features_size
from farback.network import AbstractEncoder, observed


def trunk(maker: Any, space: Any, key: PRNGKeyArray) -> tuple[Callable[[Any], Any], AbstractCell, int]:
    """Makes the encoder and the memory of a network from the fields `encoder`, `memory` and `cell` of its maker.

    A pretrained memory reads the features of the encoder that it was trained with.

    **Returns:** `(encoder, memory, output_size)`: the last is the length of the memory's output.
    """
    encoder = Flatten(space) if maker.encoder is None else maker.encoder(space, key=jax.random.fold_in(key, 3))
    size = features_size(encoder, space)
    if maker.memory is None:
        cell = maker.cell(size, key=key)
        return encoder, cell, output_size(cell, size)
    memory_key, skipped, read = jax.random.fold_in(key, 4), None, size
    before = getattr(maker.memory, "encoder", lambda space: None)(space)
    if before is not None and not (isinstance(before, Flatten) and isinstance(encoder, Flatten)):
        encoder, skipped, read = TwoEncoders(encoder, before), size, features_size(before, space)
    reader = SkipConcat(maker.memory(read, key=memory_key), True, skipped)
    size = read if skipped is None else skipped + read
    cell = Chain(reader, maker.cell(output_size(reader, size), key=key))
    return encoder, cell, output_size(cell, size)


class TwoEncoders(AbstractEncoder):
    """The features of one encoder, followed by those of another."""

    one: Callable[[Any], Any]
    other: Callable[[Any], Any]

    def __call__(self, observation: Any) -> Float[Array, " features"]:
        return jnp.concatenate([self.one(observation), self.other(observation)])

    def observed(self, observations: Any) -> "TwoEncoders":
        return TwoEncoders(observed(self.one, observations), self.other)
