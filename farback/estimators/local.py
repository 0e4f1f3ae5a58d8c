"""Local traces, which stay within a unit: the traces of SnAp(1), of RFLO, and of RTRL on diagonal cells.

For a parameter of unit i and the leaves s_a of its cell's state, the trace is G_a = ds_ai/dθ, of the parameter's shape:

    G_a′ = Σ_b J_ab,i G_b + M_a,      J_ab,i = ∂s′_ai/∂s_bi,      M_a = ∂s′_ai/∂θ

Because each unit treats the others as constants, one pull-back of the vector of ones for each leaf a computes all of J_a
and M_a.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from farback.cell import AbstractCell, AbstractLocalCell, State, elements
from farback.estimators.forward import Follow, Parameters, add_where_present, map_present
from farback.step import AbstractStep, Model
from farback.types import InputError


class Surrogate(AbstractCell):
    """A cell that steps by another of its methods, which has the same values and other derivatives."""

    cell: AbstractLocalCell
    method: str = eqx.field(static=True)

    def initial(self) -> State:
        return self.cell.initial()

    def __call__(self, state: State, x: Any) -> tuple[State, Any]:
        return getattr(self.cell, self.method)(state, x)


def with_derivatives_of(method: str, kind: type) -> Callable[[Model], Model]:
    """Replaces each cell of a kind in a model by its `Surrogate` with a method (`local`, `leak`)."""

    def surrogate(model):
        return jax.tree.map(
            lambda node: Surrogate(node, method) if isinstance(node, kind) else node,
            model,
            is_leaf=lambda node: isinstance(node, kind),
        )

    return surrogate


def learns(cell: AbstractCell) -> bool:
    """Whether a cell has parameters."""
    return bool(jax.tree.leaves(eqx.filter(cell, eqx.is_inexact_array)))


def require_cells(step: AbstractStep, model: Model, kind: type, name: str, why: str) -> None:
    """Raises if the memory of a model has a recurrent cell with parameters that is not of a kind."""
    memory = step.memory(model)
    for cell, state in elements(memory, memory.initial()):
        if jax.tree.leaves(state) and learns(cell) and not isinstance(cell, kind):
            raise InputError(
                f"{name} cannot serve {type(cell).__name__}: {why}. Use RTRL() (exact, small models) or UORO() (unbiased), "
                f"which serve any cell."
            )


def owners(step: AbstractStep, model: Model) -> PyTree[int]:
    """For each parameter, the index of the recurrent elementary cell that it belongs to, or −1."""
    memory = step.memory(model)
    parameters = eqx.filter(model, eqx.is_inexact_array)
    known = {id(leaf) for leaf in jax.tree.leaves(parameters)}
    owner: dict[int, int] = {}
    for index, (cell, state) in enumerate(elements(memory, memory.initial())):
        if jax.tree.leaves(state):
            for leaf in jax.tree.leaves(eqx.filter(cell, eqx.is_inexact_array)):
                if id(leaf) in owner or id(leaf) not in known:
                    raise InputError(
                        f"A parameter of {type(cell).__name__} is shared with another cell, or is computed from the model "
                        f"instead of being a part of it, and a local trace belongs to one cell. Use RTRL() or UORO()."
                    )
                owner[id(leaf)] = index
    return jax.tree.map(lambda leaf: owner.get(id(leaf), -1), parameters)


def local_begin(step: AbstractStep, model: Model) -> Callable[[Parameters, State], Parameters]:
    """Makes the empty trace of one example. Parameters outside of the recurrent cells have no trace."""
    owner = owners(step, model)

    def begin(parameters, state):
        sizes = [len(jax.tree.leaves(own)) for _, own in elements(step.memory(model), state)]
        return map_present(
            lambda leaf, index: None if index < 0 else jnp.zeros((sizes[index], *leaf.shape), leaf.dtype),
            parameters,
            owner,
        )

    return begin


def local_follow(step: AbstractStep, model: Model) -> Follow:
    """One step of the recursion above, for each recurrent cell of the model."""
    owner = owners(step, model)

    def follow(linearised, trace, key):
        del key
        direct, credit = linearised.credit()
        leaves, structure = jax.tree.flatten(linearised.state)
        cells = [
            index
            for index, (_, own) in enumerate(elements(step.memory(model), linearised.state))
            for _ in jax.tree.leaves(own)
        ]
        slots = {index: [a for a, cell in enumerate(cells) if cell == index] for index in cells}
        ones = [[jnp.full_like(leaf, a == b) for b, leaf in enumerate(leaves)] for a in range(len(leaves))]
        pulled = [linearised.pull_state(jax.tree.unflatten(structure, row)) for row in ones]
        immediate = [parameters for parameters, _ in pulled]
        jacobian = [jax.tree.leaves(row) for _, row in pulled]

        def contract(g, index):
            return sum(jax.tree.leaves(credit)[a] * g_a for a, g_a in zip(slots[index], g, strict=True))

        def renew(g, index, *immediate):
            return jnp.stack(
                [
                    sum(jacobian[a][b] * g_b for b, g_b in zip(slots[index], g, strict=True)) + immediate[a]
                    for a in slots[index]
                ]
            )

        indirect = map_present(contract, trace, owner)
        return add_where_present(direct, indirect), map_present(renew, trace, owner, *immediate)

    return follow
