"""The base of gated cells (Elman, Leaky, Gated, GRU, LSTM), which add the combination of the gates of a unit."""

from abc import abstractmethod
from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from farback.cell import (
    AbstractAffineCell,
    AbstractLocalCell,
    AbstractUnrolledCell,
    State,
    require_vector,
)
from farback.cells.gate_scan import ACTIVATIONS, gate_scan, project
from farback.cells.initialisers import AbstractWeights
from farback.cells.projected import draw_projection

Units = Float[Array, "*batch units"]


class Group(NamedTuple):
    """A group of pre-activations, one per unit: its name, its nonlinearity, and whether it uses the input and the state."""

    name: str
    activation: Literal["sigmoid", "tanh", "identity"]
    uses_input: bool = True
    uses_state: bool = True


class AbstractGatedCell(AbstractAffineCell, AbstractLocalCell, AbstractUnrolledCell):
    """A cell of groups of pre-activations, each with one pre-activation per unit:

        a_g = W_g x + U_g h + b_g,     y_g = activation_g(a_g),     s′_i = φ(s_i, y_1i, ..., y_Gi)

    Weights have shape `[inputs, groups, units]`, so the unit is the last axis of each array. A group that does not depend
    on the input (or the state) has no weights for it. A concrete cell defines its `groups`, `hidden` (h, the part of the
    state that is fed back and is the output) and `combine` (φ).
    """

    groups: ClassVar[tuple[Group, ...]]

    input_weight: eqx.AbstractVar[Float[Array, "inputs input_groups units"]]
    state_weight: eqx.AbstractVar[Float[Array, "units state_groups units"]]
    bias: eqx.AbstractVar[Float[Array, "groups units"]]

    @staticmethod
    @abstractmethod
    def hidden(state: State) -> Units:
        """h, the part of the state that is fed back and is the output."""

    @staticmethod
    @abstractmethod
    def combine(state: State, y: tuple[Units, ...]) -> State:
        """φ: the next state, unit by unit, without parameters, for any batch axes."""

    @property
    def shape(self) -> tuple[int, int]:
        groups, units = self.bias.shape
        return groups, units

    def __call__(self, state: State, x: Shaped[Array, " inputs"]) -> tuple[State, Float[Array, " units"]]:
        return self._advance(state, self._project(x), self._feed_back(self.hidden(state)))

    def local(self, state: State, x: Shaped[Array, " inputs"]) -> tuple[State, Float[Array, " units"]]:
        h = self.hidden(state)
        own = jnp.einsum("igi->gi", self.state_weight) * (h - stop_gradient(h))
        return self._advance(state, self._project(x), self._feed_back(stop_gradient(h)) + own)

    def leak(self, state: State, x: Shaped[Array, " inputs"]) -> tuple[State, Float[Array, " units"]]:
        return self._advance(state, self._project(x), self._feed_back(stop_gradient(self.hidden(state))))

    def unroll(
        self,
        state: State,
        first: Bool[Array, "time batch"],
        x: Shaped[Array, "time batch inputs"],
        flow: Float[Array, "time batch"],
    ) -> tuple[State, Float[Array, "time batch units"]]:
        require_vector(self, x[0, 0], self.input_weight.shape[0])
        rows = self._rows("uses_input")
        bias = tuple(self.bias[i] for i in range(len(self.groups)) if i not in rows)
        initial = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (first.shape[1], *leaf.shape)), self.initial())
        z = project(x, self.input_weight, self.bias[jnp.array(rows)])
        return gate_scan(type(self), self.state_weight, z, bias, state, initial, first, flow)

    def regressors(self, state: State, x: Shaped[Array, " inputs"]) -> Float[Array, " regressors"]:
        return jnp.concatenate([x, self.hidden(state), jnp.ones_like(x, shape=1)])

    def shifted(self, state: State, x: Shaped[Array, " inputs"], shift: Float[Array, "groups units"]) -> State:
        return self._advance(state, self._project(x), self._feed_back(self.hidden(state)), shift)[0]

    def gather(self, weight: Float[Array, "regressors groups units"]) -> "AbstractGatedCell":
        inputs = self.input_weight.shape[0]
        parts = (weight[:inputs, self._rows("uses_input")], weight[inputs:-1, self._rows("uses_state")], weight[-1])
        return eqx.tree_at(lambda cell: (cell.input_weight, cell.state_weight, cell.bias), self, parts)

    @classmethod
    def _rows(cls, uses: str) -> list[int]:
        return [i for i, group in enumerate(cls.groups) if getattr(group, uses)]

    def _project(self, x):
        """W x, for the groups that depend on the input."""
        inputs, groups, units = self.input_weight.shape
        require_vector(self, x, inputs)
        return (x @ self.input_weight.reshape(inputs, groups * units)).reshape(groups, units)

    def _feed_back(self, h):
        """U h, for the groups that depend on the state."""
        inputs, groups, units = self.state_weight.shape
        return (h @ self.state_weight.reshape(inputs, groups * units)).reshape(groups, units)

    def _advance(self, state, from_input, from_state, shift=None):
        inputs, fed_back = iter(from_input), iter(from_state)
        y = []
        for index, group in enumerate(self.groups):
            a = self.bias[index]
            a = a + next(inputs) if group.uses_input else a
            a = a + next(fed_back) if group.uses_state else a
            a = a if shift is None else a + shift[index]
            y.append(ACTIVATIONS[group.activation][0](a))
        state = self.combine(state, tuple(y))
        return state, self.hidden(state)


def draw_weights(
    groups: tuple[Group, ...],
    input_size: int,
    size: int,
    input_init: AbstractWeights,
    state_init: AbstractWeights,
    key: PRNGKeyArray,
) -> tuple[Float[Array, "inputs input_groups units"], Float[Array, "units state_groups units"]]:
    """The input and the state weights of a gated cell. The initialiser draws one matrix per group."""
    input_key, state_key = jax.random.split(key)

    return (
        draw_projection(input_init, input_key, input_size, sum(group.uses_input for group in groups), size),
        draw_projection(state_init, state_key, size, sum(group.uses_state for group in groups), size),
    )
