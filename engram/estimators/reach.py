"""What of a step can move what: the trace of a forward estimator covers only that."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import PyTree

from engram.cell import State, elements
from engram.step import AbstractStep, Model
from engram.types import Window


def movers(
    step: AbstractStep, model: Model, state: State, data: Window, part: Callable[[State], Any] = lambda state: state
) -> PyTree[bool]:
    """For each parameter of the model, whether (a part of) the state after one step of one example can depend on it.

    Read off the traced step, in which whatever feeds the state is followed backwards; never false where it can.
    """
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)

    def advance(parameters):
        model = eqx.combine(parameters, rest)
        return part(step.advance(model, state, data.first, step.encode(model, data))[0])

    jaxpr: Any = jax.make_jaxpr(advance)(parameters).jaxpr
    needed = _needed(jaxpr, jaxpr.outvars)
    structure = jax.tree.structure(parameters)
    return jax.tree.unflatten(structure, [id(variable) in needed for variable in jaxpr.invars])


class Parts(NamedTuple):
    """The parts that a step falls into, none of which moves another, such as the memories of a policy and of a value.

    - `parameters`, `state`: for each leaf, the number of its part.
    """

    parameters: PyTree[int]
    state: PyTree[int]


def parts(step: AbstractStep, model: Model, state: State, data: Window) -> Parts:
    """The parts of one step of one example, read off as in `movers`; never two where one moves the other."""
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
    """The ids of all that some variables are made from."""
    needed = {id(variable) for variable in variables}
    for equation in reversed(jaxpr.eqns):
        if any(id(variable) in needed for variable in equation.outvars):
            needed.update(id(variable) for variable in equation.invars)
    return needed


def self_contained(step: AbstractStep, model: Model, state: State, data: Window) -> bool:
    """Whether the state of each elementary cell is moved by no parameters but its own.

    False for stacks, where a layer's parameters move the states above it, and behind an encoder with parameters.
    """
    leaves = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    for index, (cell, _) in enumerate(elements(step.memory(model), state)):
        own = {id(leaf) for leaf in jax.tree.leaves(cell)}
        moved = movers(step, model, state, data, lambda new, index=index: elements(step.memory(model), new)[index][1])
        if any(moves and id(leaf) not in own for leaf, moves in zip(leaves, jax.tree.leaves(moved), strict=True)):
            return False
    return True
