"""Which parameters can move which states in a step: forward estimators trace only these."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import PyTree

from farback.cell import State, elements
from farback.step import AbstractStep, Model
from farback.types import Window


def movers(
    step: AbstractStep,
    model: Model,
    state: State,
    data: Window,
    part: Callable[[State], Any] = lambda state: state,
    exact_encoder: bool = True,
) -> PyTree[bool]:
    """For each parameter of the model, whether (a part of) the state after one step of one example can depend on it.

    The answer is read off the jaxpr of the step, from the state backwards. It is never False where the state can depend on
    the parameter.

    **Arguments:**

    - `part`: the part of the state.
    - `exact_encoder`: if False, the parameters of the encoder count as not moving the state.
    """
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)

    def advance(parameters):
        model = eqx.combine(parameters, rest)
        return part(step.advance(model, state, data.first, step.encode(model, data))[0])

    jaxpr: Any = jax.make_jaxpr(advance)(parameters).jaxpr
    needed = _needed(jaxpr, jaxpr.outvars)
    structure = jax.tree.structure(parameters)
    moves = [id(variable) in needed for variable in jaxpr.invars]
    if not exact_encoder:
        encoder = {id(leaf) for leaf in jax.tree.leaves(step.encoder(model))}
        leaves = jax.tree.leaves(parameters)
        moves = [moved and id(leaf) not in encoder for moved, leaf in zip(moves, leaves, strict=True)]
    return jax.tree.unflatten(structure, moves)


class Parts(NamedTuple):
    """The independent parts of a step, such as the separate memories of a policy and of a value: no part moves another.

    - `parameters`, `state`: for each leaf, the number of its part.
    """

    parameters: PyTree[int]
    state: PyTree[int]


def parts(step: AbstractStep, model: Model, state: State, data: Window) -> Parts:
    """The independent parts of one step of one example, read off its jaxpr as in `movers`."""
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)

    def advance(parameters, state):
        model = eqx.combine(parameters, rest)
        return jax.tree.leaves(step.advance(model, state, data.first, step.encode(model, data))[0])

    jaxpr: Any = jax.make_jaxpr(advance)(parameters, state).jaxpr
    part, before = list(range(len(jaxpr.invars))), len(jax.tree.leaves(parameters))
    for index, leaf in enumerate(jaxpr.outvars):
        needed = _needed(jaxpr, [leaf])
        joined = {part[at] for at, variable in enumerate(jaxpr.invars) if id(variable) in needed} | {part[before + index]}
        part = [min(joined) if one in joined else one for one in part]
    structures = jax.tree.structure(parameters), jax.tree.structure(state)
    return Parts(*map(jax.tree.unflatten, structures, (part[:before], part[before:])))


def _needed(jaxpr: Any, variables: Iterable[Any]) -> set[int]:
    """The ids of `variables`, and of all variables that they depend on."""
    needed = {id(variable) for variable in variables}
    for equation in reversed(jaxpr.eqns):
        if any(id(variable) in needed for variable in equation.outvars):
            needed.update(id(variable) for variable in equation.invars)
    return needed


def self_contained(step: AbstractStep, model: Model, state: State, data: Window, exact_encoder: bool = True) -> bool:
    """Whether each elementary cell's state depends on no parameters but its own.

    It is False for a stack, where the parameters of a layer move the states of the layers above it, and after an encoder
    with parameters unless `exact_encoder` is False.
    """
    leaves = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    for index, (cell, _) in enumerate(elements(step.memory(model), state)):
        own = {id(leaf) for leaf in jax.tree.leaves(cell)}

        def of_cell(new, index=index):
            return elements(step.memory(model), new)[index][1]

        moved = movers(step, model, state, data, of_cell, exact_encoder)
        if any(moves and id(leaf) not in own for leaf, moves in zip(leaves, jax.tree.leaves(moved), strict=True)):
            return False
    return True
