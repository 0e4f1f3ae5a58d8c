"""A policy unrolled over a rollout, and its products with the Fisher matrix."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from farback.cell import State, unroll
from farback.envs.base import AbstractEnv
from farback.network import Network
from farback.ops.distributions import distribution
from farback.step import Model
from farback.types import Window

Direction = PyTree[Array]


class UnrolledPolicy(NamedTuple):
    """A policy unrolled over a rollout, as a function of its parameters; leading axes `[time, batch]`.

    - `env`: the environment that defines the action space.
    - `static`: the policy without its parameters.
    - `memory`: the memory before the first step.
    - `window`: the steps, with the action, Ψ and the weight of each in the targets.
    """

    env: AbstractEnv
    static: Network
    memory: State
    window: Window

    def outputs(self, parameters: Model) -> PyTree[Array]:
        """Returns the policy's output at each step."""
        policy, first = eqx.combine(parameters, self.static), self.window.first
        features = jax.vmap(jax.vmap(policy.encoder))(self.window.inputs)
        output = unroll(policy.memory, self.memory, first, features, jnp.ones(first.shape))[1]
        return jax.vmap(jax.vmap(policy.head))(output)

    def fisher(self, parameters: Model) -> tuple[PyTree[Array], Callable[[Direction], Direction]]:
        """Returns `(outputs, product)`: the outputs, and the function x ↦ F x.

        F is the Hessian of the mean divergence from these outputs. At its minimum 0 it is JᵀMJ, where J is the Jacobian of
        the outputs and M the Hessian with respect to them. The product with J is the transpose of the product with Jᵀ,
        because cells with custom derivatives have no forward mode.
        """
        old, pull = jax.vjp(self.outputs, parameters)
        _, push = jax.vjp(pull, old)

        def product(direction: Direction) -> Direction:
            (moved,) = push((direction,))
            return pull(jax.jvp(jax.grad(lambda new: self.divergence(old, new)), (old,), (moved,))[1])[0]

        return old, product

    def divergence(self, old: PyTree[Array], new: PyTree[Array]) -> Float[Array, ""]:
        """Returns the mean of KL(π_old ‖ π_new) over the steps."""
        return self._mean(lambda old, new, target: self._actions(old).divergence(self._actions(new)), old, new)

    def surrogate(self, old: PyTree[Array], new: PyTree[Array]) -> Float[Array, ""]:
        """Returns the mean of −ρ Ψ over the steps, with ρ = π_new(a | m) / π_old(a | m)."""

        def one(old, new, target):
            log_ratio = self._actions(new).log_prob(target.action) - self._actions(old).log_prob(target.action)
            return -jnp.exp(log_ratio) * target.psi

        return self._mean(one, old, new)

    def _actions(self, output):
        return distribution(self.env.action_space, output)

    def _mean(self, of: Callable[..., Array], old: Any, new: Any):
        targets = self.window.targets
        return jnp.mean(targets.weight * jax.vmap(jax.vmap(of))(old, new, targets))
