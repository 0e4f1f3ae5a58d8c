"""Forward estimation: step by step, with a trace of how the parameters have moved the state.

With s′ = F(s, θ) and ℓ = L(s, θ) for one step (or a few), and a trace that stands for G ≈ ds/dθ,

    g = ∂L/∂θ + ∂L/∂s · G,      G′ ≈ ∂F/∂s · G + ∂F/∂θ

An estimator defines its trace, how ∂L/∂s is contracted with the trace, and how F changes the trace. The reset at the
beginning of an episode is a part of F, so the chain rule cuts the trace there.

An encoder without a trace is computed for the whole window before the steps, as in the reverse estimators, and its gradient
is pulled back from ∂L/∂features of all steps at once. One product of matrices for all steps is faster than one for each.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from farback.cell import State
from farback.estimators.base import initial_state, one_example, time_major
from farback.estimators.reach import movers
from farback.ops.random import example_keys
from farback.step import AbstractStep, Model
from farback.types import Carry, Keys, Outcome, Window

Parameters = PyTree[Array]


class Linearised(NamedTuple):
    """One step or a few steps of one example, and their derivatives at (θ, s).

    - `parameters`, `state`: θ and s.
    - `data`: the steps, axis `[time]`.
    - `features`: the features of the steps, axis `[time]`, if they are constants of the step; else None.
    - `moves`: for each parameter, whether it can move s′ (a tree of `bool`).
    - `loss`: ℓ.
    - `run`: (θ, s) -> (s′, ℓ).
    - `pull`: a cotangent of (s′, ℓ) -> the cotangents of (θ, s). It can be called many times.
    """

    parameters: Parameters
    state: State
    data: Window
    features: Any
    moves: PyTree[bool]
    loss: Float[Array, ""]
    run: Callable[[Parameters, State], tuple[State, Float[Array, ""]]]
    pull: Callable[[tuple[State, Float[Array, ""]]], tuple[Parameters, State]]

    def credit(self) -> tuple[Parameters, State]:
        """∂L/∂θ and ∂L/∂s."""
        return self.pull((jax.tree.map(jnp.zeros_like, self.state), jnp.ones_like(self.loss)))

    def push_state(self, tangent: State) -> State:
        """The tangent of s′ for a tangent of s: ∂F/∂s · tangent."""
        return jax.jvp(lambda state: self.run(self.parameters, state)[0], (self.state,), (tangent,))[1]

    def pull_state(self, cotangent: State) -> tuple[Parameters, State]:
        """The cotangents of the parameters that move s′, and of s, for a cotangent of s′."""
        parameters, state = self.pull((cotangent, jnp.zeros_like(self.loss)))
        return only(parameters, self.moves), state


# The rule of an estimator for one step: (linearised, trace, key) -> (gradient, trace).
Follow = Callable[[Linearised, Any, PRNGKeyArray], tuple[Parameters, Any]]


def only(parameters: Parameters, moves: PyTree[bool]) -> Parameters:
    """The parameters that move the state, with `None` in place of the others."""
    return jax.tree.map(lambda leaf, keep: leaf if keep else None, parameters, moves)


def map_present(function: Callable[..., Any], tree: PyTree, *others: PyTree) -> PyTree:
    """Maps over the leaves of a tree that are not `None`, and over the same places of the other trees."""
    return jax.tree.map(
        lambda leaf, *more: None if leaf is None else function(leaf, *more),
        tree,
        *others,
        is_leaf=lambda node: node is None,
    )


def add_where_present(parameters: Parameters, extra: Parameters) -> Parameters:
    """The sum of two trees. The second has `None` where it adds nothing."""
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


def forward_init(
    step: AbstractStep,
    model: Model,
    window: Window,
    begin: Callable[[Parameters, State], Any],
    state: State | None = None,
    exact_encoder: bool = True,
) -> Carry:
    """The carry before the first window. `begin` makes the trace of one example from the parameters that move the state."""
    initial, data = step.memory(model).initial(), one_example(window)
    moves = movers(step, model, initial, data, exact_encoder=exact_encoder)
    trace = begin(only(eqx.filter(model, eqx.is_inexact_array), moves), initial)
    batch = window.first.shape[0]
    trace = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), trace)
    return Carry(initial_state(step, model, window, state), trace)


def forward_gradient(
    step: AbstractStep,
    model: Model,
    carry: Carry,
    window: Window,
    key: Keys,
    follow: Follow,
    *,
    block: int = 1,
    exact_encoder: bool = True,
    surrogate: Callable[[Model], Model] = lambda model: model,
) -> tuple[Model, Carry, Outcome]:
    """Returns (gradient, carry, outcome) of a window.

    **Arguments:**

    - `follow`: the rule of the estimator for one step F.
    - `block`: the number of time steps of one step F.
    - `exact_encoder`: whether the parameters of the encoder have a trace. If False, their gradient is that of the present
      step only.
    - `surrogate`: makes the model whose derivatives are used; its values are those of the given model.
    """
    batch, steps = window.checked().first.shape
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)
    example = jax.tree.map(lambda leaf: leaf[0], carry.state)
    moves = movers(step, model, example, one_example(window), exact_encoder=exact_encoder)
    window = time_major(window)
    learns = bool(jax.tree.leaves(eqx.filter(step.encoder(model), eqx.is_inexact_array)))
    at_once = not (learns and exact_encoder)  # the encoder has no trace, so its window is computed as a whole
    variable, known, pull_encoder = encode_window(step, model, window) if at_once else (None, None, None)

    def run(data, known, parameters, state, variable):
        model = surrogate(eqx.combine(parameters, rest))

        def one(state, now):
            data, features = now
            features = features if at_once else step.encode(model, data)
            state, output = step.advance(model, state, data.first, features)
            return state, step.loss(model, output, data)

        now = (data, eqx.combine(variable, known))
        state, (loss, metrics) = jax.lax.scan(one, state, now, unroll=block == 1)
        return (state, jnp.sum(loss) / steps), metrics

    def one(state, trace, data, variable, known, key):
        at = partial(run, data, known)
        (new_state, loss), pull, metrics = jax.vjp(at, parameters, state, variable, has_aux=True)
        linearised = Linearised(
            parameters,
            state,
            data,
            eqx.combine(variable, known) if at_once else None,
            moves,
            loss,
            lambda parameters, state: at(parameters, state, variable)[0],
            lambda cotangent: pull(cotangent)[:2],
        )
        gradient, trace = follow(linearised, trace, key)
        credit = pull((jax.tree.map(jnp.zeros_like, state), jnp.ones_like(loss)))[2] if learns else None
        return new_state, trace, gradient, credit, (loss, metrics)

    def batched(running, now):
        state, trace, total = running
        step_of_all = jax.vmap(one, in_axes=(0, 0, 1, 1, 1, 0), out_axes=(0, 0, 0, 1, 0))
        state, trace, gradient, credit, sums = step_of_all(state, trace, *now)
        total = jax.tree.map(lambda total, leaf: total + jnp.mean(leaf, axis=0), total, gradient)
        return (state, trace, total), (credit, sums)

    blocks = jax.tree.map(lambda leaf: leaf.reshape(steps // block, block, *leaf.shape[1:]), (window, variable, known))
    running = (carry.state, carry.trace, jax.tree.map(jnp.zeros_like, parameters))
    keys = jax.vmap(lambda key: jax.random.split(key, steps // block), out_axes=1)(example_keys(key, batch))
    (state, trace, gradient), (credit, (loss, metrics)) = jax.lax.scan(batched, running, (*blocks, keys))
    if learns and pull_encoder is not None:
        credit = jax.tree.map(lambda leaf: leaf.reshape(steps, *leaf.shape[2:]) / batch, credit)
        gradient = jax.tree.map(jnp.add, gradient, pull_encoder(credit))
    outcome = Outcome(jnp.sum(loss) / batch, jax.tree.map(jnp.sum, metrics))
    return gradient, Carry(state, trace), outcome


def encode_window(step: AbstractStep, model: Model, window: Window) -> tuple[Any, Any, Callable[[Any], Parameters]]:
    """The features of a window, leading axes `[time, batch]`.

    **Returns:** (variable, known, pull): the floats of the features, the rest of them, and a function from the cotangents
    of the floats to those of the parameters.
    """
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)

    def encode(parameters):
        model = eqx.combine(parameters, rest)
        return eqx.partition(jax.vmap(jax.vmap(lambda data: step.encode(model, data)))(window), eqx.is_inexact_array)

    variable, pull, known = jax.vjp(encode, parameters, has_aux=True)
    return variable, known, lambda cotangent: pull(cotangent)[0]
