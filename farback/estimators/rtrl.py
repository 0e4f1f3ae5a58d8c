"""Real-time recurrent learning."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import PRNGKeyArray

from farback.cell import AbstractDiagonalCell, State, elements
from farback.estimators.base import AbstractEstimator, one_example
from farback.estimators.forward import Linearised, Parameters, add_where_present, forward_gradient, forward_init
from farback.estimators.local import learns, local_begin, local_follow
from farback.estimators.reach import self_contained
from farback.step import AbstractStep, Model
from farback.types import Carry, Keys, Outcome, Window


class RTRL(AbstractEstimator):
    """Real-time recurrent learning: the exact gradient, carried forwards.

        G′ = ∂F/∂s · G + ∂F/∂θ,      g = ∂ℓ/∂s · G + ∂ℓ/∂θ

    It equals BPTT over the whole past, for every model, stacks included, and does not store the past. The trace of an
    example has |state| × |parameters that move the state| numbers, and a step costs |state|² × |parameters|. A diagonal
    cell (`LRU`, `RTU`, `NonlinearRTU`, `MinGRU`, `ELSTM`) with no parameters before it has a small trace: one number
    per parameter and per number of its unit's state (1 or 2). A step costs in proportion to it. While θ changes, the
    part of G from older θ is stale by an amount proportional to the step size.

    Use it with diagonal cells, or with small dense ones. An encoder with parameters makes the trace large, because each
    state depends on all of them. With `exact_encoder=False` the encoder has no trace: its gradient is that of the
    present step only. This gradient is biased (`diagnose` measures it), and the encoder costs only one forward and
    backward pass over the window, as in BPTT.

    **Arguments:**

    - `exact_encoder`: whether the encoder gets credit from later steps. If False, its gradient is that of the present step
      only: biased, with a small trace.

    Reference: Williams and Zipser, *A learning algorithm for continually running fully recurrent neural networks*, 1989.
    """

    exact_encoder: bool = True

    @property
    def random(self) -> bool:
        return False

    def init(self, step: AbstractStep, model: Model, window: Window, state: State | None = None) -> Carry:
        if is_diagonal(step, model, window, self.exact_encoder):
            return forward_init(step, model, window, local_begin(step, model), state, self.exact_encoder)

        def begin(parameters, state):
            size = ravel_pytree(state)[0].size
            return jax.tree.map(lambda leaf: jnp.zeros((size, *leaf.shape), leaf.dtype), parameters)

        return forward_init(step, model, window, begin, state, self.exact_encoder)

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        diagonal = is_diagonal(step, model, window, self.exact_encoder)
        follow = local_follow(step, model) if diagonal else follow_densely
        return forward_gradient(step, model, carry, window, key, follow, exact_encoder=self.exact_encoder)


def is_diagonal(step: AbstractStep, model: Model, window: Window, exact_encoder: bool = True) -> bool:
    """Whether the exact trace is local: all cells are diagonal, and moved by no parameters but their own."""
    state = step.memory(model).initial()
    cells = [cell for cell, own in elements(step.memory(model), state) if jax.tree.leaves(own) and learns(cell)]
    return all(isinstance(cell, AbstractDiagonalCell) for cell in cells) and self_contained(
        step, model, state, one_example(window), exact_encoder
    )


def follow_densely(linearised: Linearised, trace: Parameters, key: PRNGKeyArray) -> tuple[Parameters, Parameters]:
    """One step of RTRL with the full ds/dθ. Each leaf of the trace has a leading axis for the numbers of the state."""
    del key
    direct, credit = linearised.credit()
    flat, unravel = ravel_pytree(linearised.state)
    indirect = jax.tree.map(lambda g: jnp.tensordot(ravel_pytree(credit)[0], g, 1), trace)
    immediate, rows = jax.vmap(lambda row: linearised.pull_state(unravel(row)))(jnp.eye(flat.size, dtype=flat.dtype))
    jacobian = jax.vmap(lambda row: ravel_pytree(row)[0])(rows)
    trace = jax.tree.map(lambda g, new: jnp.tensordot(jacobian, g, 1) + new, trace, immediate)
    return add_where_present(direct, indirect), trace
