"""Unbiased online recurrent optimisation."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from farback.cell import State
from farback.estimators.base import AbstractEstimator, one_example, require_multiple
from farback.estimators.forward import (
    Linearised,
    Parameters,
    add_where_present,
    forward_gradient,
    forward_init,
    map_present,
    normaliser,
)
from farback.estimators.reach import Parts, parts
from farback.step import AbstractStep, Model
from farback.types import Carry, InputError, Keys, Outcome, Window


class RankOne(NamedTuple):
    """s̃ ⊗ θ̃, whose expectation is ds/dθ. Leaves have a leading axis for the rank."""

    state: State
    parameters: Parameters


class UORO(AbstractEstimator):
    """Unbiased online recurrent optimisation: a random rank-one trace whose expectation is that of RTRL.

        g̃ = (∂ℓ/∂s · s̃) θ̃ + ∂ℓ/∂θ                                                                       (3.19)
        s̃ ← ρ₀ ∂F/∂s s̃ + ρ₁ ν,      θ̃ ← θ̃/ρ₀ + νᵀ ∂F/∂θ / ρ₁,      ν uniform in {−1, 1}ⁿ           (3.17, 3.18)
        ρ₀ = √(‖θ̃‖ / (‖∂F/∂s s̃‖ + ε)) + ε,      ρ₁ = √(‖νᵀ ∂F/∂θ‖ / (‖ν‖ + ε)) + ε

    Independent parts of a model, such as the separate memories of a policy and of a value, each have a trace, with their
    own norms and their own ∂ℓ/∂s · s̃: the noise of one part does not enter the gradient of another.

    A step takes the time and the memory of about three one-step truncated updates, for every cell and any length of the
    past. The noise grows with the number of units: use small step sizes, small networks, or a higher rank. Use it on
    streams whose dependencies have no known length, with cells for which exact `RTRL` is too expensive.

    **Arguments:**

    - `rank`: the number of independent traces. Their estimates are averaged: variance ∝ 1/rank.
    - `memory`: T of memory-T UORO: the number of steps that count as one step F. Credit within them is exact. The length of
      a window must be a multiple of it.
    - `epsilon`: ε of the normalisers ρ₀ and ρ₁.
    - `epsilon_inside`: use the form of the authors' code, ρ = √((‖·‖ + ε) / (‖·‖ + ε)), with which they used ε = 10⁻⁵.
    - `exact_encoder`: whether the encoder gets credit from later steps. If False, its gradient is that of the present step
      only: biased, without the noise of UORO.

    Reference: Tallec and Ollivier, *Unbiased online recurrent optimization*, ICLR 2018; thesis chapter 3.
    """

    rank: int = 1
    memory: int = 1
    epsilon: float = 1e-7
    epsilon_inside: bool = False
    exact_encoder: bool = True

    def __check_init__(self):
        if self.rank < 1:
            raise InputError(f"UORO(rank={self.rank}): a trace has at least rank 1; give rank >= 1.")
        if self.memory < 1:
            raise InputError(f"UORO(memory={self.memory}): a step F has at least 1 step; give memory >= 1.")
        if self.epsilon <= 0:
            raise InputError(f"UORO(epsilon={self.epsilon}): the normalisers need epsilon > 0.")

    @property
    def random(self) -> bool:
        return True

    def init(self, step: AbstractStep, model: Model, window: Window, state: State | None = None) -> Carry:
        def begin(parameters, state):
            return jax.tree.map(lambda leaf: jnp.zeros((self.rank, *leaf.shape), leaf.dtype), RankOne(state, parameters))

        return forward_init(step, model, window, begin, state, self.exact_encoder)

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        require_multiple(window, self.memory, f"UORO(memory={self.memory})")
        example = jax.tree.map(lambda leaf: leaf[0], carry.state)
        follow = partial(self._follow, parts(step, model, example, one_example(window)))
        return forward_gradient(
            step, model, carry, window, key, follow, block=self.memory, exact_encoder=self.exact_encoder
        )

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
    """The inner product of two trees, for each part."""
    trees = (jax.tree.leaves(tree, is_leaf=lambda node: node is None) for tree in (apart, left, right))
    products: dict[int, Float[Array, ""]] = {}
    for part, one, other in zip(*trees, strict=True):
        if one is not None:
            products[part] = products.get(part, jnp.zeros((), one.dtype)) + jnp.vdot(one, other)
    return products
