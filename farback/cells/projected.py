"""Cells whose input projection and readout are not recurrent, and are computed for a whole window at once."""

from abc import abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from farback.cell import AbstractUnrolledCell, State, pass_credit, require_sizes, reset
from farback.cells.initialisers import AbstractWeights


class AbstractProjectedCell(AbstractUnrolledCell):
    """A cell in three parts, of which only A is recurrent: z = P(x), s′ = A(s, z), y = R(s′, x)."""

    @abstractmethod
    def project(self, x: Any) -> Any:
        """P: the projection of the input."""

    @abstractmethod
    def advance(self, state: State, z: Any) -> State:
        """A: the next state."""

    @abstractmethod
    def read(self, state: State, x: Any) -> Any:
        """R: the output."""

    @abstractmethod
    def run(self, state: State, first: Bool[Array, "time batch"], z: Any, flow: Float[Array, "time batch"]) -> State:
        """All the states of a window, leaves `[time, batch, ...]`, from its projected inputs."""

    def __call__(self, state: State, x: Any) -> tuple[State, Any]:
        state = self.advance(state, self.project(x))
        return state, self.read(state, x)

    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Any, flow: Float[Array, "time batch"]
    ) -> tuple[State, Any]:
        states = self.run(state, first, jax.vmap(jax.vmap(self.project))(x), flow)
        return jax.tree.map(lambda leaf: leaf[-1], states), jax.vmap(jax.vmap(self.read))(states, x)


class AbstractSteppedCell(AbstractProjectedCell):
    """A projected cell whose recurrence runs step by step."""

    def run(self, state: State, first: Bool[Array, "time batch"], z: Any, flow: Float[Array, "time batch"]) -> State:
        def one(state, first, z, flow):
            return self.advance(reset(self, pass_credit(state, flow), first), z)

        def batched(state, now):
            state = jax.vmap(one)(state, *now)
            return state, state

        return jax.lax.scan(batched, state, (first, z, flow))[1]


def draw_projection(
    init: AbstractWeights, key: PRNGKeyArray, inputs: int, groups: int, units: int
) -> Float[Array, "inputs groups units"]:
    """The weights from the input to `groups` groups of units. The initialiser draws one matrix per group."""
    require_sizes(input_size=inputs, size=units)
    return jnp.stack([init(key, inputs, units) for key in jax.random.split(key, groups)], axis=1)
