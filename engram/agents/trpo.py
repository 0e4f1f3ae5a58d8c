"""Trust-region policy optimisation, recurrent: the longest step within a ball of policies, found by conjugate gradients.

Reference: Schulman et al., *Trust region policy optimization*, ICML 2015.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from engram.agents.base import AbstractAgent, Acting, Played, check_discount
from engram.agents.distributions import distribution
from engram.agents.policy_gradient import Charged
from engram.agents.ramp import Ramp, settled
from engram.cell import AbstractCell, State, unroll
from engram.cells import Parallel
from engram.descent import descend
from engram.envs.base import AbstractEnv
from engram.estimators.base import AbstractEstimator, time_major
from engram.objectives.returns import gae, standardised
from engram.step import Model
from engram.types import Carry, InputError, Outcome, Tally, Window

Direction = PyTree[Array]


class TRPO(AbstractAgent):
    """The parameters of the policy go to

        θ − s x √(2δ / xᵀ F x),      F x = g

    where g is the gradient of the surrogate −mean_t ρ_t A_t by the estimator, F the Hessian of the mean divergence
    KL(π_old ‖ π_θ), through all of the rollout, plus a damping, and s the first of 1, ½, ¼, … with which the divergence
    stays within δ and the surrogate gets smaller; if there is none, the policy stays as it is. Products with F are exact;
    F itself is never formed.

    The values learn by the optimiser, a few steps on each rollout. Policy and value must not share a memory.

    **Arguments:**

    - `radius`: δ.
    - `gamma`, `lam`: γ and λ of the generalised advantages, whose mean is made 0 and whose deviation 1.
    - `iterations`: of the conjugate gradients.
    - `damping`: is added to the diagonal of F.
    - `halvings`: the most that s is halved.
    - `value_steps`: of the optimiser, on each rollout.
    """

    env: AbstractEnv
    estimator: AbstractEstimator
    optimiser: optax.GradientTransformation
    radius: float = 0.01
    gamma: float | Ramp = 0.99
    lam: float = 0.95
    iterations: int = 10
    damping: float = 0.01
    halvings: int = 10
    value_steps: int = 5

    def __check_init__(self):
        check_discount(self.gamma)
        for name in ("iterations", "halvings", "value_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"TRPO({name}={getattr(self, name)}): give 1 at least.")
        if self.radius <= 0 or self.damping < 0:
            raise InputError(f"TRPO(radius={self.radius}, damping={self.damping}): give radius > 0 and damping >= 0.")

    def init(self, model: Model, batch: int, *, key: PRNGKeyArray) -> Acting:
        if not isinstance(model, Parallel):
            raise InputError("TRPO steps the policy by itself: give it a memory of its own, as actor_critic(shared=False).")
        return super().init(model, batch, key=key)

    def targets(self, played: Played) -> Charged:
        advantage = jax.vmap(lambda steps: gae(steps, settled(self.gamma), self.lam))(played.rewarded)
        weight = played.weight
        return Charged(played.steps.action, standardised(advantage, weight), advantage + played.steps.value, weight)

    def loss(self, output, target: Charged) -> tuple[Float[Array, ""], dict[str, Tally]]:
        """The surrogate, whose gradient is that of −A log π where the policy is still the one that played."""
        policy, (value,) = output
        chances = distribution(self.env.action_space, policy)
        surrogate, error = -target.psi * chances.log_prob(target.action), (value - target.value) ** 2 / 2
        said = {"losses/value": error, "losses/entropy": chances.entropy()}
        return target.weight * (surrogate + error), {
            name: Tally(target.weight * term, target.weight) for name, term in said.items()
        }

    def learn(self, state: Acting, played: Played, key: PRNGKeyArray) -> tuple[Model, PyTree, Carry, Outcome]:
        window = played.window(self.targets(played))
        keys = jax.random.split(key, self.value_steps)
        gradient, carry, outcome = self.estimator.gradient(self.step, state.model, state.carry, window, keys[0])
        policy, stepped = self.leap(state.model.branches[0], gradient.branches[0], state.carry.state[0], window)
        model, optimiser = self.learn_values(state.model, state.optimiser, gradient, outcome.loss)
        for key in keys[1:]:
            again, _, found = self.estimator.gradient(self.step, model, state.carry, window, key)
            model, optimiser = self.learn_values(model, optimiser, again, found.loss)
        model = eqx.tree_at(lambda model: model.branches[0], model, policy)
        return model, optimiser, carry, Outcome(outcome.loss, outcome.metrics | stepped)

    def learn_values(
        self, model: Model, optimiser: PyTree, gradient: Model, loss: Float[Array, ""]
    ) -> tuple[Model, PyTree]:
        """A step of the optimiser, after which the policy is what it was."""
        stepped, optimiser = descend(self.optimiser, model, optimiser, gradient, loss)
        return eqx.tree_at(lambda model: model.branches[0], stepped, model.branches[0]), optimiser

    def leap(
        self, policy: AbstractCell, gradient: Model, memory: State, window: Window
    ) -> tuple[AbstractCell, dict[str, Tally]]:
        """The policy after one step, and what is to be said of it."""
        here, static = eqx.partition(policy, eqx.is_inexact_array)
        replay = Replay(self.env, static, memory, time_major(window))
        old, fisher = replay.fisher(here)

        def product(direction: Direction) -> Direction:
            return optax.tree.add_scale(fisher(direction), self.damping, direction)

        x, _ = jax.scipy.sparse.linalg.cg(product, gradient, maxiter=self.iterations, tol=1e-10)
        scale = jnp.sqrt(2 * self.radius / jnp.maximum(optax.tree.vdot(x, product(x)), 1e-20))

        def at(halvings):
            return optax.tree.add_scale(here, -scale * jnp.exp2(-halvings.astype(scale.dtype)), x)

        def refused(halvings):
            new = replay.outputs(at(halvings))
            near = replay.divergence(old, new) <= self.radius
            return ~(near & (replay.surrogate(old, new) < replay.surrogate(old, old)))

        halvings = jax.lax.while_loop(
            lambda halvings: (halvings <= self.halvings) & refused(halvings),
            lambda halvings: halvings + 1,
            jnp.zeros((), int),
        )
        found = halvings <= self.halvings
        after = jax.tree.map(lambda new, old: jnp.where(found, new, old), at(halvings), here)
        new = replay.outputs(after)
        said = {
            "losses/divergence": replay.divergence(old, new),
            "losses/policy": replay.surrogate(old, new),
            "losses/refused": (~found).astype(scale.dtype),
        }
        return eqx.combine(after, static), {name: Tally(value, jnp.ones_like(value)) for name, value in said.items()}


class Replay(NamedTuple):
    """A rollout seen again by policies that differ in their parameters; leading axes `[time, batch]`."""

    env: AbstractEnv
    static: AbstractCell
    memory: State
    window: Window

    def outputs(self, parameters: Model) -> PyTree[Array]:
        """What a policy puts out in each step."""
        policy, first = eqx.combine(parameters, self.static), self.window.first
        return unroll(policy, self.memory, first, self.window.inputs, jnp.ones(first.shape))[1]

    def fisher(self, parameters: Model) -> tuple[PyTree[Array], Callable[[Direction], Direction]]:
        """The outputs, and products with the Hessian of the divergence from them, JᵀMJ, where it is 0 and has no slope.

        J is the transpose of a pull-back, and not a push-forward, which cells with derivatives of their own do not have.
        """
        old, pull = jax.vjp(self.outputs, parameters)
        _, push = jax.vjp(pull, old)

        def product(direction: Direction) -> Direction:
            (moved,) = push((direction,))
            return pull(jax.jvp(jax.grad(lambda new: self.divergence(old, new)), (old,), (moved,))[1])[0]

        return old, product

    def divergence(self, old: PyTree[Array], new: PyTree[Array]) -> Float[Array, ""]:
        """The mean of KL(old ‖ new)."""
        return self._mean(lambda old, new, target: self._at(old).divergence(self._at(new)), old, new)

    def surrogate(self, old: PyTree[Array], new: PyTree[Array]) -> Float[Array, ""]:
        """The mean of −ρ A."""

        def one(old, new, target):
            log_ratio = self._at(new).log_prob(target.action) - self._at(old).log_prob(target.action)
            return -jnp.exp(log_ratio) * target.psi

        return self._mean(one, old, new)

    def _at(self, output):
        return distribution(self.env.action_space, output)

    def _mean(self, of: Callable[..., Array], old: Any, new: Any):
        targets = self.window.targets
        return jnp.mean(targets.weight * jax.vmap(jax.vmap(of))(old, new, targets))
