"""A multilayer perceptron, in place of a memory."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from farback.cell import AbstractUnrolledCell, State, require_sizes, require_vector


class MLP(AbstractUnrolledCell):
    """Rectified layers without memory:

        y = ReLU(W_n … ReLU(W_1 x + b_1) … + b_n)

    Use it on fully observed inputs, after a pretrained memory, or as a memoryless baseline.

    **Arguments:**

    - `input_size`, `size`: the number of inputs, and of units in each layer.
    - `layers`: n, the number of layers.
    - `layer_norm`: whether each layer is normalised over its units before ReLU.

    Reference: Rosenblatt, *The perceptron*, 1958; Nair and Hinton, *Rectified linear units improve restricted Boltzmann
    machines*, ICML 2010; Ba, Kiros and Hinton, *Layer normalization*, 2016.
    """

    layers: tuple[eqx.nn.Linear, ...]
    norms: tuple[eqx.nn.LayerNorm | eqx.nn.Identity, ...]

    def __init__(self, input_size: int, size: int, layers: int = 2, layer_norm: bool = False, *, key: PRNGKeyArray):
        require_sizes(input_size=input_size, size=size, layers=layers)
        sizes = [input_size] + [size] * (layers - 1)
        keys = jax.random.split(key, layers)
        self.layers = tuple(eqx.nn.Linear(before, size, key=key) for before, key in zip(sizes, keys, strict=True))
        self.norms = tuple(eqx.nn.LayerNorm(size) if layer_norm else eqx.nn.Identity() for _ in range(layers))

    def initial(self) -> State:
        return ()

    def __call__(self, state: State, x: Float[Array, " inputs"]) -> tuple[State, Float[Array, " units"]]:
        require_vector(self, x, self.layers[0].weight.shape[1])
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = jax.nn.relu(norm(layer(x)))
        return state, x

    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Any, flow: Float[Array, "time batch"]
    ) -> tuple[State, Any]:
        return state, jax.vmap(jax.vmap(lambda x: self((), x)[1]))(x)
