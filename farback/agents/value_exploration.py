"""Exploration of discrete actions that have a value each: noise on the values, or random actions."""

import math
from typing import Any

import jax.numpy as jnp
from gymnasium.spaces import Box, Discrete, Space
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from farback.agents.exploration import AbstractExploration, AbstractNoise


def initial_exploration(exploration: AbstractExploration, space: Discrete) -> PyTree[Array]:
    """Returns the state of an exploration before the first action."""
    return exploration.initial(_explored(exploration, space))


def explore_values(
    exploration: AbstractExploration,
    space: Discrete,
    state: PyTree[Array],
    values: Float[Array, " actions"],
    first: Any,
    key: PRNGKeyArray,
) -> tuple[PyTree[Array], Int[Array, ""]]:
    """Returns `(state, action)`. Noise is added to the values; other exploration changes the best action."""
    explored = _explored(exploration, space)
    if isinstance(exploration, AbstractNoise):
        state, values = exploration(explored, state, values, first, key)
    action = int(space.start) + jnp.argmax(values).astype(int)
    return (state, action) if isinstance(exploration, AbstractNoise) else exploration(explored, state, action, first, key)


def _explored(exploration: AbstractExploration, space: Discrete) -> Space[Any]:
    """The space of what an exploration changes."""
    return Box(-math.inf, math.inf, (int(space.n),)) if isinstance(exploration, AbstractNoise) else space
