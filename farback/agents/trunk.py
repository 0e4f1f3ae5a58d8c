"""The encoder and the memory of an agent's network."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from farback.cell import AbstractCell, output_size
from farback.cells import SkipConcat
from farback.cells.chain import Chain
from farback.encoders import Flatten, features_size


def trunk(maker: Any, space: Any, key: PRNGKeyArray) -> tuple[Callable[[Any], Any], AbstractCell, int]:
    """Makes the encoder and the memory of a network from the fields `encoder`, `memory` and `cell` of its maker.

    **Returns:** `(encoder, memory, output_size)`: the last is the length of the memory's output.
    """
    encoder = Flatten(space) if maker.encoder is None else maker.encoder(space, key=jax.random.fold_in(key, 3))
    size = features_size(encoder, space)
    if maker.memory is None:
        cell = maker.cell(size, key=key)
        return encoder, cell, output_size(cell, size)
    reader = SkipConcat(maker.memory(size, key=jax.random.fold_in(key, 4)), stop_gradient=True)
    cell = Chain(reader, maker.cell(output_size(reader, size), key=key))
    return encoder, cell, output_size(cell, size)
