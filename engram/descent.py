"""One step of an optimiser."""

import equinox as eqx
import optax
from jaxtyping import Array, Float, PyTree


def descend(
    optimiser: optax.GradientTransformation, model: PyTree, state: PyTree, gradient: PyTree, loss: Float[Array, ""]
) -> tuple[PyTree, PyTree]:
    """The model and the optimiser's state after one step of it, which may depend on the loss, as on a plateau."""
    parameters = eqx.filter(model, eqx.is_inexact_array)
    changes, state = optax.with_extra_args_support(optimiser).update(gradient, state, parameters, value=loss)
    return eqx.apply_updates(model, changes), state
