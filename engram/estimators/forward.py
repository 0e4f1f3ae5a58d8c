"""What the forward estimators share: step after step, with a trace of how the past has moved the state.

With s′ = F(s, θ) and ℓ = L(s, θ) for one step (or a few), and a trace that stands for G ≈ ds/dθ,

    g = ∂L/∂θ + ∂L/∂s · G,      G′ ≈ ∂F/∂s · G + ∂F/∂θ

An estimator says what its trace is, how ∂L/∂s is contracted with it, and how it goes through F. The reset at the
beginning of an episode is inside F, so the chain rule cuts the trace there.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from engram.cell import State
from engram.estimators.base import example_keys, initial_state, one_example, time_major
from engram.estimators.reach import movers
from engram.step import AbstractStep, Model
from engram.types import Carry, Keys, Outcome, Window

Parameters = PyTree[Array]


class Linearised(NamedTuple):
    """A step of one example, or a few, and its derivatives at (θ, s).

    - `parameters`, `state`: θ and s.
    - `data`: the steps, axis `[time]`.
    - `moves`: for each of θ, whether it can move s′ (a tree of `bool`).
    - `loss`: ℓ.
    - `run`: (θ, s) -> (s′, ℓ).
    - `pull`: a cotangent of (s′, ℓ) -> the cotangents of (θ, s); as often as wanted.
    """

    parameters: Parameters
    state: State
    data: Window
    moves: PyTree[bool]
    loss: Float[Array, ""]
    run: Callable[[Parameters, State], tuple[State, Float[Array, ""]]]
    pull: Callable[[tuple[State, Float[Array, ""]]], tuple[Parameters, State]]

    def credit(self) -> tuple[Parameters, State]:
        """∂L/∂θ and ∂L/∂s."""
        return self.pull((jax.tree.map(jnp.zeros_like, self.state), jnp.ones_like(self.loss)))

    def push_state(self, tangent: State) -> State:
        """The tangent ∂F/∂s of s′ for one of s."""
        return jax.jvp(lambda state: self.run(self.parameters, state)[0], (self.state,), (tangent,))[1]

    def pull_state(self, cotangent: State) -> tuple[Parameters, State]:
        """The cotangent of s′, pulled back to those of θ that move it, and to s."""
        parameters, state = self.pull((cotangent, jnp.zeros_like(self.loss)))
        return only(parameters, self.moves), state


# How a trace goes through a step, and what it makes of the credit: (linearised, trace, key) -> gradient, trace.
Follow = Callable[[Linearised, Any, PRNGKeyArray], tuple[Parameters, Any]]


def only(parameters: Parameters, moves: PyTree[bool]) -> Parameters:
    """The parameters that move the state, `None` in place of the others."""
    return jax.tree.map(lambda leaf, keep: leaf if keep else None, parameters, moves)


def map_present(function: Callable[..., Any], tree: PyTree, *others: PyTree) -> PyTree:
    """Maps over a tree that has `None` for what it leaves out, and over what the others have in the remaining places."""
    return jax.tree.map(
        lambda leaf, *more: None if leaf is None else function(leaf, *more),
        tree,
        *others,
        is_leaf=lambda node: node is None,
    )


def add_where_present(parameters: Parameters, extra: Parameters) -> Parameters:
    """The sum of two trees, of which the second has `None` where it adds nothing."""
    return jax.tree.map(
        lambda more, leaf: leaf if more is None else leaf + more, extra, parameters, is_leaf=lambda node: node is None
    )


def normaliser(
    above: Float[Array, ""], below: Float[Array, ""], epsilon: float = 1e-7, inside: bool = False
) -> Float[Array, ""]:
    """ρ = √(above / (below + ε)) + ε, or √((above + ε) / (below + ε)) with `inside`.

    Balances the two factors of a random trace, and is positive where both are zero.
    """
    if inside:
        return jnp.sqrt((above + epsilon) / (below + epsilon))
    return jnp.sqrt(above / (below + epsilon)) + epsilon


def forward_init(step: AbstractStep, model: Model, window: Window, begin: Callable[[Parameters, State], Any]) -> Carry:
    """The carry at the beginning; `begin` makes one example's trace from the parameters that move the state."""
    state, data = step.memory(model).initial(), one_example(window)
    moves = movers(step, model, state, data)
    trace = begin(only(eqx.filter(model, eqx.is_inexact_array), moves), state)
    batch = window.first.shape[0]
    trace = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), trace)
    return Carry(initial_state(step, model, window), trace)


def forward_gradient(
    step: AbstractStep,
    model: Model,
    carry: Carry,
    window: Window,
    key: Keys,
    follow: Follow,
    *,
    block: int = 1,
    surrogate: Callable[[Model], Model] = lambda model: model,
) -> tuple[Model, Carry, Outcome]:
    """The gradient of a window, `block` steps at a time.

    The steps are those of `surrogate(model)`, a model of the same values whose derivatives are those wanted.
    """
    batch, steps = window.checked().first.shape
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)
    moves = movers(step, model, jax.tree.map(lambda leaf: leaf[0], carry.state), one_example(window))

    def run(data, parameters, state):
        model = surrogate(eqx.combine(parameters, rest))
        state, (loss, metrics) = jax.lax.scan(lambda state, now: step(model, state, now), state, data, unroll=block == 1)
        return (state, jnp.sum(loss) / steps), metrics

    def one(state, trace, data, key):
        (new_state, loss), pull, metrics = jax.vjp(partial(run, data), parameters, state, has_aux=True)
        linearised = Linearised(parameters, state, data, moves, loss, lambda *at: run(data, *at)[0], pull)
        gradient, trace = follow(linearised, trace, key)
        return new_state, trace, gradient, (loss, metrics)

    def batched(running, now):
        state, trace, total = running
        data, keys = now
        state, trace, gradient, sums = jax.vmap(one, in_axes=(0, 0, 1, 0))(state, trace, data, keys)
        total = jax.tree.map(lambda total, leaf: total + jnp.mean(leaf, axis=0), total, gradient)
        return (state, trace, total), sums

    blocks = jax.tree.map(lambda leaf: leaf.reshape(steps // block, block, *leaf.shape[1:]), time_major(window))
    running = (carry.state, carry.trace, jax.tree.map(jnp.zeros_like, parameters))
    keys = jax.vmap(lambda key: jax.random.split(key, steps // block), out_axes=1)(example_keys(key, batch))
    (state, trace, gradient), (loss, metrics) = jax.lax.scan(batched, running, (blocks, keys))
    return (
        gradient,
        Carry(state, trace),
        Outcome(jnp.sum(loss) / batch, jax.tree.map(jnp.sum, metrics)),
    )
