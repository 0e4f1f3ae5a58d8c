"""Unbiased online recurrent optimisation."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from engram.cell import State
from engram.estimators.base import AbstractEstimator, one_example, require_multiple
from engram.estimators.forward import (
    Linearised,
    Parameters,
    add_where_present,
    forward_gradient,
    forward_init,
    map_present,
    normaliser,
)
from engram.estimators.reach import Parts, parts
from engram.step import AbstractStep, Model
from engram.types import Carry, InputError, Keys, Outcome, Window


class RankOne(NamedTuple):
    """s̃ ⊗ θ̃, whose expectation is ds/dθ; leaves have a leading axis for the rank."""

    state: State
    parameters: Parameters


class UORO(AbstractEstimator):
    """Unbiased online recurrent optimisation: a random rank-one trace whose expectation is RTRL's.

        g̃ = (∂ℓ/∂s · s̃) θ̃ + ∂ℓ/∂θ                                                                       (3.19)
        s̃ ← ρ₀ ∂F/∂s s̃ + ρ₁ ν,      θ̃ ← θ̃/ρ₀ + νᵀ ∂F/∂θ / ρ₁,      ν uniform in {−1, 1}ⁿ           (3.17, 3.18)
        ρ₀ = √(‖θ̃‖ / (‖∂F/∂s s̃‖ + ε)) + ε,      ρ₁ = √(‖νᵀ ∂F/∂θ‖ / (‖ν‖ + ε)) + ε

    Parts of a model none of which moves another, such as the memories of a policy and of a value, have a trace each, with
    norms and ∂ℓ/∂s · s̃ of their own: no noise of one comes into the other.

    Time and memory of about three one-step truncated updates, whatever the cell and however long the past. The price is
    noise, which grows with the width: give it smaller steps, small networks, or a higher rank. Use it on streams, where
    nothing tells how long a dependency is, and where an exact trace (`RTRL`, on a diagonal cell) cannot be had.

    **Arguments:**

    - `rank`: the number of independent traces, whose estimates are averaged: variance ∝ 1/rank.
    - `memory`: the number of steps taken for one step F of the algorithm (memory-T UORO): credit within them is exact,
      and a window must be a multiple of it.
    - `epsilon`: ε.
    - `epsilon_inside`: take the form of the authors' code, ρ = √((‖·‖ + ε) / (‖·‖ + ε)), for which ε = 10⁻⁵ was used.

    Reference: Tallec and Ollivier, *Unbiased online recurrent optimization*, ICLR 2018; thesis chapter 3.
    """

    rank: int = 1
    memory: int = 1
    epsilon: float = 1e-7
    epsilon_inside: bool = False

    def __check_init__(self):
        if self.rank < 1:
            raise InputError(f"UORO(rank={self.rank}): a trace has rank 1 at least; give rank >= 1.")
        if self.memory < 1:
            raise InputError(f"UORO(memory={self.memory}): it takes 1 step at a time at least; give memory >= 1.")
        if self.epsilon <= 0:
            raise InputError(f"UORO(epsilon={self.epsilon}): the normalisers need epsilon > 0.")

    @property
    def random(self) -> bool:
        return True

    def init(self, step: AbstractStep, model: Model, window: Window) -> Carry:
        def begin(parameters, state):
            return jax.tree.map(lambda leaf: jnp.zeros((self.rank, *leaf.shape), leaf.dtype), RankOne(state, parameters))

        return forward_init(step, model, window, begin)

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        require_multiple(window, self.memory, f"UORO(memory={self.memory})")
        example = jax.tree.map(lambda leaf: leaf[0], carry.state)
        follow = partial(self._follow, parts(step, model, example, one_example(window)))
        return forward_gradient(step, model, carry, window, key, follow, block=self.memory)

    def _follow(
        self, apart: Parts, linearised: Linearised, trace: RankOne, key: PRNGKeyArray
    ) -> tuple[Parameters, RankOne]:
        direct, credit = linearised.credit()
        each = jax.vmap(lambda tilde: inner(apart.state, credit, tilde), axis_size=self.rank)(trace.state)
        indirect = map_present(
            lambda tilde, part: jnp.tensordot(each[part], tilde, 1) / self.rank, trace.parameters, apart.parameters
        )

        def balance(parameters: Parameters, state: State) -> dict[int, Any]:
            above, below = inner(apart.parameters, parameters, parameters), inner(apart.state, state, state)
            return {
                part: normaliser(
                    jnp.sqrt(above.get(part, jnp.zeros_like(square))), jnp.sqrt(square), self.epsilon, self.epsilon_inside
                )
                for part, square in below.items()
            }

        def renew(tilde: RankOne, nu: Float[Array, " state"]) -> RankOne:
            signs = unravel(nu)
            noise, _ = linearised.pull_state(signs)
            tangent = linearised.push_state(tilde.state)
            rho0, rho1 = balance(tilde.parameters, tangent), balance(noise, signs)
            return RankOne(
                jax.tree.map(
                    lambda pushed, sign, part: rho0[part] * pushed + rho1[part] * sign, tangent, signs, apart.state
                ),
                map_present(
                    lambda old, new, part: old / rho0[part] + new / rho1[part], tilde.parameters, noise, apart.parameters
                ),
            )

        flat, unravel = ravel_pytree(linearised.state)
        trace = jax.vmap(renew)(trace, jax.random.rademacher(key, (self.rank, flat.size), flat.dtype))
        return add_where_present(direct, indirect), trace


def inner(apart: PyTree[int], left: PyTree[Any], right: PyTree[Any]) -> dict[int, Float[Array, ""]]:
    """The inner product of two trees, for each part by itself."""
    trees = (jax.tree.leaves(tree, is_leaf=lambda node: node is None) for tree in (apart, left, right))
    products: dict[int, Float[Array, ""]] = {}
    for part, one, other in zip(*trees, strict=True):
        if one is not None:
            products[part] = products.get(part, jnp.zeros((), one.dtype)) + jnp.vdot(one, other)
    return products
