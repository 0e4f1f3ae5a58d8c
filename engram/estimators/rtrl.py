"""Real-time recurrent learning."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import PRNGKeyArray

from engram.cell import AbstractDiagonalCell, elements
from engram.estimators.base import AbstractEstimator, one_example
from engram.estimators.forward import Linearised, Parameters, add_where_present, forward_gradient, forward_init
from engram.estimators.local import local_begin, local_follow
from engram.estimators.reach import self_contained
from engram.step import AbstractStep, Model
from engram.types import Carry, Keys, Outcome, Window


class RTRL(AbstractEstimator):
    """Real-time recurrent learning: the exact gradient, carried forwards.

        G′ = ∂F/∂s · G + ∂F/∂θ,      g = ∂ℓ/∂s · G + ∂ℓ/∂θ

    Equal to BPTT over the whole past, for any model, stacks included, and without storing that past. The trace has
    |state| × |parameters that move it| numbers, and a step costs |state|² × |parameters|. Where the units of a cell never
    meet (`LRU`, `RTU`, `MinGRU`, `ELSTM`) and nothing with parameters stands before it, each example's trace is as large as
    the parameters times the numbers of a unit's state (1 or 2), and so is the cost of a step. While θ changes, the part of
    G that was carried under older θ is stale by an amount proportional to the step size.

    Reference: Williams and Zipser, *A learning algorithm for continually running fully recurrent neural networks*, 1989.
    """

    @property
    def random(self) -> bool:
        return False

    def init(self, step: AbstractStep, model: Model, window: Window) -> Carry:
        if is_diagonal(step, model, window):
            return forward_init(step, model, window, local_begin(step, model))

        def begin(parameters, state):
            size = ravel_pytree(state)[0].size
            return jax.tree.map(lambda leaf: jnp.zeros((size, *leaf.shape), leaf.dtype), parameters)

        return forward_init(step, model, window, begin)

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        follow = local_follow(step, model) if is_diagonal(step, model, window) else follow_densely
        return forward_gradient(step, model, carry, window, key, follow)


def is_diagonal(step: AbstractStep, model: Model, window: Window) -> bool:
    """Whether the exact trace is as small as the parameters."""
    state = step.memory(model).initial()
    cells = [cell for cell, own in elements(step.memory(model), state) if jax.tree.leaves(own)]
    return all(isinstance(cell, AbstractDiagonalCell) for cell in cells) and self_contained(
        step, model, state, one_example(window)
    )


def follow_densely(linearised: Linearised, trace: Parameters, key: PRNGKeyArray) -> tuple[Parameters, Parameters]:
    """One step of RTRL with the whole of ds/dθ; each leaf of the trace has a leading axis for the state's numbers."""
    del key
    direct, credit = linearised.credit()
    flat, unravel = ravel_pytree(linearised.state)
    indirect = jax.tree.map(lambda g: jnp.tensordot(ravel_pytree(credit)[0], g, 1), trace)
    immediate, rows = jax.vmap(lambda row: linearised.pull_state(unravel(row)))(jnp.eye(flat.size, dtype=flat.dtype))
    jacobian = jax.vmap(lambda row: ravel_pytree(row)[0])(rows)
    trace = jax.tree.map(lambda g, new: jnp.tensordot(jacobian, g, 1) + new, trace, immediate)
    return add_where_present(direct, indirect), trace
