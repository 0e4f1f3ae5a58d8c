"""The part of an agent's network that reads the memory trained by MemUP."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from farback.cells import Chain, SkipConcat
from farback.step import Model
from farback.types import InputError


class Detached(eqx.Module):
    """An encoder whose features have no gradient."""

    encoder: Callable[[Any], Any]

    def __call__(self, observation: Any) -> Any:
        return jax.lax.stop_gradient(self.encoder(observation))


def memory_reader(network: Model) -> SkipConcat:
    """Returns the only `SkipConcat` of a network, which has to be the first layer of its memory."""

    def is_reader(part):
        return isinstance(part, SkipConcat)

    found = [part for part in jax.tree.leaves(network, is_leaf=is_reader) if is_reader(part)]
    advice = "give a cell such as Chain(SkipConcat(LSTM(64)), MLP(64)), and shared_memory=True"
    if len(found) != 1:
        raise InputError(f"The network reads a memory in {len(found)} places, and MemUPAgent needs one: {advice}.")
    first = network.memory
    while isinstance(first, Chain):
        first = first.layers[0]
    if not is_reader(first):
        raise InputError(f"MemUPAgent's memory reads the encoder's features, but a layer comes before it: {advice}.")
    return found[0]
