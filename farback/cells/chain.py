"""Stacks of layers, recurrent or not."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Float

from farback.cell import AbstractCell, AbstractCompositeCell, AbstractUnrolledCell, State, unroll
from farback.types import InputError


class Stateless(AbstractUnrolledCell):
    """A layer without memory, such as a linear map or a function, as a cell. It is applied to a whole window at once."""

    layer: Any

    def __check_init__(self):
        if isinstance(self.layer, type) or not callable(self.layer):
            raise InputError(
                f"{self.layer!r} is no layer: give a cell, a module such as eqx.nn.Linear(3, 4, key=key), or a function."
            )
        if isinstance(self.layer, eqx.nn.GRUCell | eqx.nn.LSTMCell):
            name = type(self.layer).__name__
            raise InputError(
                f"eqx.nn.{name} is no layer, as it takes a state: give farback.cells.{name.removesuffix('Cell')}."
            )

    def initial(self) -> State:
        return ()

    def __call__(self, state: State, x: Any) -> tuple[State, Any]:
        return state, self.layer(x)

    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Any, flow: Float[Array, "time batch"]
    ) -> tuple[State, Any]:
        return state, jax.vmap(jax.vmap(self.layer))(x)


class Chain(AbstractCompositeCell):
    """Layers in sequence. The input of each layer is the output of the layer before it.

    A layer that is not a cell (`eqx.nn.Linear`, `eqx.nn.LayerNorm`, `jnp.tanh`) becomes one by `Stateless`. A window is
    computed layer by layer, so a layer without memory is one product over all steps.

    **Arguments:**

    - `layers`: the layers, from input to output.
    """

    layers: tuple[AbstractCell, ...]

    def __init__(self, *layers: Any):
        self.layers = tuple(lift(layer) for layer in layers)

    def initial(self) -> State:
        return tuple(layer.initial() for layer in self.layers)

    @property
    def parts(self) -> tuple[AbstractCell, ...]:
        return self.layers

    def inputs(self, state: State, x: Any) -> tuple[Any, ...]:
        inputs = [x]
        for layer, old in zip(self.layers[:-1], state[:-1], strict=True):
            inputs.append(layer(old, inputs[-1])[1])
        return tuple(inputs)

    def __call__(self, state: State, x: Any) -> tuple[State, Any]:
        states = []
        for layer, old in zip(self.layers, state, strict=True):
            new, x = layer(old, x)
            states.append(new)
        return tuple(states), x

    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Any, flow: Float[Array, "time batch"]
    ) -> tuple[State, Any]:
        states = []
        for layer, old in zip(self.layers, state, strict=True):
            new, x = unroll(layer, old, first, x, flow)
            states.append(new)
        return tuple(states), x


def lift(layer: Any) -> AbstractCell:
    """The layer as a cell."""
    return layer if isinstance(layer, AbstractCell) else Stateless(layer)
