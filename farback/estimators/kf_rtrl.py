"""Kronecker-factored real-time recurrent learning."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from farback.cell import AbstractAffineCell, State, element_inputs, elements, reset
from farback.estimators.base import AbstractEstimator, one_example
from farback.estimators.forward import Follow, add_where_present, forward_gradient, forward_init, normaliser
from farback.estimators.local import require_cells
from farback.estimators.reach import self_contained
from farback.step import AbstractStep, Model
from farback.types import Carry, InputError, Keys, Outcome, Window


class Kronecker(NamedTuple):
    """u ⊗ A, whose expectation is ds/dW for weights W of shape `[regressors, groups, units]`."""

    u: Float[Array, " regressors"]
    a: Float[Array, "state groups units"]


class KFRTRL(AbstractEstimator):
    """Kronecker-factored RTRL: a random trace u ⊗ A, for cells that are linear in their parameters.

    With s′ = φ(s, W ĥ) and D = ∂s′/∂(W ĥ), so that ∂s′/∂W = ĥ ⊗ D, and independent random signs c₁, c₂,

        u′ = c₁ p₀ u + c₂ p₁ ĥ,      A′ = c₁ J A / p₀ + c₂ D / p₁,      g̃ = u ⊗ (∂ℓ/∂s A) + ∂ℓ/∂θ
        p₀ = √(‖J A‖ / ‖u‖),      p₁ = √(‖D‖ / ‖ĥ‖)

    Like UORO it is unbiased. Its variance is lower by a factor of the order of the number of units. A trace has
    |state| · groups · units numbers, and a step multiplies it by J. Use it for one dense layer (`Elman`, `Leaky`, `Gated`,
    `GRU`, `LSTM`) of at most a few hundred units.

    **Arguments:**

    - `exact_encoder`: if True, an encoder with parameters is refused, because it has no trace. If False, the
      gradient of the encoder is that of the present step only: biased.

    Reference: Mujika, Meier and Steger, *Approximating real-time recurrent learning with random Kronecker factors*, 2018.
    """

    exact_encoder: bool = True

    @property
    def random(self) -> bool:
        return True

    def init(self, step: AbstractStep, model: Model, window: Window, state: State | None = None) -> Carry:
        why = "KF-RTRL needs a cell that is linear in its parameters"
        require_cells(step, model, AbstractAffineCell, "KFRTRL()", why)
        memory, data = step.memory(model), one_example(window)
        if not self_contained(step, model, memory.initial(), data, self.exact_encoder):
            raise InputError(
                "KFRTRL() cannot serve a recurrent layer whose state depends on other parameters: stack no recurrent "
                "layers and put no layer with parameters before it, or use UORO(), which serves any model. After an "
                "encoder, KFRTRL(exact_encoder=False) gives the encoder the gradient of the present step only."
            )

        def begin(parameters, state):
            del parameters
            return tuple(
                Kronecker(
                    jnp.zeros_like(cell.regressors(own, x)),
                    jnp.zeros((ravel_pytree(own)[0].size, *cell.shape), ravel_pytree(own)[0].dtype),
                )
                for cell, own, x in recurrent(step, model, state, step.encode(model, data))
            )

        return forward_init(step, model, window, begin, state, self.exact_encoder)

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        follow = kronecker_follow(step, model)
        return forward_gradient(step, model, carry, window, key, follow, exact_encoder=self.exact_encoder)


def recurrent(
    step: AbstractStep, model: Model, state: State, features: Any
) -> list[tuple[AbstractAffineCell, State, Array]]:
    """The recurrent affine cells of the model, each with its state and its input at a step from `state`."""
    memory = step.memory(model)
    inputs = element_inputs(memory, state, features)
    return [
        (cell, own, x)
        for (cell, own), x in zip(elements(memory, state), inputs, strict=True)
        if isinstance(cell, AbstractAffineCell)
    ]


def kronecker_follow(step: AbstractStep, model: Model) -> Follow:
    """One step of the recursion of `KFRTRL`, for each recurrent cell of the model."""

    def follow(linearised, trace, key):
        direct, credit = linearised.credit()
        data = jax.tree.map(lambda leaf: leaf[0], linearised.data)
        credits = [own for cell, own in elements(step.memory(model), credit) if isinstance(cell, AbstractAffineCell)]
        indirect: dict[int, Array] = {}
        renewed = []
        keys = jax.random.split(key, len(trace))
        features = linearised.features
        features = step.encode(model, data) if features is None else jax.tree.map(lambda leaf: leaf[0], features)
        cells = recurrent(step, model, reset(step.memory(model), linearised.state, data.first), features)
        for (cell, own, x), (u, a), q, key in zip(cells, trace, credits, keys, strict=True):
            gathered = cell.gather(jnp.multiply.outer(u, jnp.tensordot(ravel_pytree(q)[0], a, 1)))
            indirect |= zip(map(id, jax.tree.leaves(cell)), jax.tree.leaves(gathered), strict=True)
            renewed.append(renew(cell, own, x, data.first, Kronecker(u, a), key))
        placed = jax.tree.map(lambda leaf: indirect.get(id(leaf)), linearised.parameters)
        return add_where_present(direct, placed), tuple(renewed)

    return follow


def renew(cell: AbstractAffineCell, state: State, x: Array, first: Array, trace: Kronecker, key: PRNGKeyArray) -> Kronecker:
    """The trace after the step from `state`, which is the initial state where an episode begins (`first`)."""
    flat, unravel = ravel_pytree(state)

    def advance(state, shift):
        return ravel_pytree(cell.shifted(reset(cell, unravel(state), first), x, shift))[0]

    jacobian, d = jax.jacrev(advance, argnums=(0, 1))(flat, jnp.zeros(cell.shape, flat.dtype))
    regressors = cell.regressors(state, x)
    pushed = jnp.tensordot(jacobian, trace.a, 1)
    c1, c2 = jax.random.rademacher(key, (2,), flat.dtype)
    p0 = normaliser(jnp.linalg.norm(pushed), jnp.linalg.norm(trace.u))
    p1 = normaliser(jnp.linalg.norm(d), jnp.linalg.norm(regressors))
    return Kronecker(c1 * p0 * trace.u + c2 * p1 * regressors, c1 * pushed / p0 + c2 * d / p1)
