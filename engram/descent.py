"""One step of an optimiser."""

import equinox as eqx
import optax
from jaxtyping import PyTree


def descend(
    optimiser: optax.GradientTransformation, model: PyTree, state: PyTree, gradient: PyTree
) -> tuple[PyTree, PyTree]:
    """The model and the optimiser's state after one step of it."""
    changes, state = optimiser.update(gradient, state, eqx.filter(model, eqx.is_inexact_array))
    return eqx.apply_updates(model, changes), state
