"""Cells whose input enters, and whose output is read, without touching the past: both are done for a window at once."""

from abc import abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from engram.cell import AbstractUnrolledCell, State, pass_credit, require_sizes, reset
from engram.cells.initialisers import AbstractWeights


class AbstractProjectedCell(AbstractUnrolledCell):
    """A cell in three parts, of which only the middle one touches the past: z = P(x), s′ = A(s, z), y = R(s′, x)."""

    @abstractmethod
    def project(self, x: Any) -> Any:
        """P: what the input sends to the state."""

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
    """A projected cell whose middle part goes step by step."""

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
    """The weights from the input to `groups` groups of units, each group drawn by itself."""
    require_sizes(input_size=inputs, size=units)
    return jnp.stack([init(key, inputs, units) for key in jax.random.split(key, groups)], axis=1)
