"""Backpropagation through a window, with a factor `flow` on the credit that each step passes to the step before it.

BPTT, truncated BPTT and ARTBP differ only in this factor:

    δℓ_t = ∂ℓ_t/∂s_t + flow_{t+1} · δℓ_{t+1} ∂s_{t+1}/∂s_t,      g = Σ_t δℓ_t ∂F/∂θ(x_t, s_{t−1}, θ)
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from farback.estimators.base import time_major
from farback.step import AbstractStep, Model
from farback.types import Carry, Outcome, Window


def reverse_gradient(
    step: AbstractStep,
    model: Model,
    carry: Carry,
    window: Window,
    flow: Float[Array, "batch time"],
    segment: int | None = None,
) -> tuple[Model, Carry, Outcome]:
    """Returns (gradient, carry, outcome) of a window.

    **Arguments:**

    - `flow`: the factor on the credit from each step to the step before it. The first column has no effect.
    - `segment`: the number of steps of a segment. Only the states between segments are stored; the backward pass computes
      the others again. None stores all states.
    """
    steps = window.checked().first.shape[1]
    window, flow = time_major(window), flow.T

    def total(model, state, window, flow):
        state, outputs = step.unroll(model, state, window, flow)
        return state, jax.tree.map(jnp.sum, outputs)

    def mean_loss(model):
        if segment is None or segment >= steps:
            state, sums = total(model, carry.state, window, flow)
        else:
            state, sums = in_segments(eqx.filter_checkpoint(total), model, carry.state, window, flow, segment)
        loss, metrics = sums
        return loss / window.first.size, (state, metrics)

    (loss, (state, metrics)), gradient = eqx.filter_value_and_grad(mean_loss, has_aux=True)(model)
    return gradient, Carry(state), Outcome(loss, metrics)


def in_segments(total, model, state, window, flow, segment):
    """Sums `total` over consecutive segments of the window. The last segment may be shorter."""
    count = len(flow) // segment
    whole = count * segment
    pieces = jax.tree.map(lambda leaf: leaf[:whole].reshape(count, segment, *leaf.shape[1:]), (window, flow))
    state, sums = jax.lax.scan(lambda state, piece: total(model, state, *piece), state, pieces)
    sums = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), sums)
    if whole < len(flow):
        state, rest = total(model, state, *jax.tree.map(lambda leaf: leaf[whole:], (window, flow)))
        sums = jax.tree.map(jnp.add, sums, rest)
    return state, sums
