"""Recurrent trust-region policy optimisation.

Reference: Schulman et al., *Trust region policy optimization*, ICML 2015.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from farback.agents.networks import ActorCritic
from farback.agents.on_policy import AbstractOnPolicyAgent, AgentState, Learned, Rollout, value_metrics, weighted
from farback.agents.policy_gradient import PolicyGradientTargets
from farback.agents.unrolled_policy import Direction, UnrolledPolicy
from farback.algorithm import require_positive
from farback.cell import State
from farback.envs.base import AbstractEnv
from farback.estimators import BPTT, AbstractEstimator
from farback.estimators.base import time_major
from farback.heads import ActorCriticOutput
from farback.network import Network
from farback.ops.distributions import distribution
from farback.ops.optimizers import Optimizer, descend, descent_metrics
from farback.ops.returns import gae, normalise_advantage
from farback.ops.schedules import LinearSchedule, check_discount, value_at
from farback.step import Model
from farback.types import InputError, Outcome, Tally, Window


class TRPO(AbstractOnPolicyAgent):
    """Trust-region policy optimisation: one natural-gradient step on each rollout, within a bound on the KL divergence.

        θ ← θ − s x √(2δ / xᵀ F x),      F x = g

    g is the estimator's gradient of the surrogate −mean_t ρ_t A_t, and F the Hessian of the mean divergence
    KL(π_old ‖ π_θ) through the whole rollout, plus damping. s is the first of 1, ½, ¼, … for which the divergence is at
    most δ and the surrogate decreases; if there is none, the policy does not change. Products with F are exact, and F is
    never formed.

    The optimizer trains the value, with several steps on each rollout. Policy and value need separate memories.

    **Arguments:**

    - `env`: the environment, such as TMaze(100).
    - `network`: the network, a maker `network(env, key=key)` such as an `ActorCriticNetwork`.
    - `estimator`: how credit passes through time, such as BPTT() or RTRL().
    - `optimizer`: the optimizer of the value, such as adam(3e-3). In Python, an optax gradient transformation.
    - `num_envs`: the number of parallel copies of the environment.
    - `window`: the time steps of a rollout in each copy, between two updates.
    - `max_kl`: the bound δ on the mean KL divergence of a step, in nats.
    - `gamma`: the discount γ of rewards: a number, or a LinearSchedule.
    - `gae_lambda`: the decay λ of the generalised advantages, from 0 to 1. Advantages are normalised.
    - `cg_iterations`: the number of conjugate-gradient iterations for F x = g.
    - `damping`: the damping added to the diagonal of F.
    - `max_backtracks`: the most halvings of the step length s.
    - `value_updates`: the number of value updates on each rollout.

    Reference: Schulman et al., *Trust region policy optimization*, ICML 2015.
    """

    env: AbstractEnv
    network: Callable[..., Model]
    estimator: AbstractEstimator = BPTT()
    optimizer: Optimizer = optax.adam(3e-3)
    num_envs: int = 16
    window: int = 64
    max_kl: float = 0.01
    gamma: float | LinearSchedule = 0.99
    gae_lambda: float = 0.95
    cg_iterations: int = 10
    damping: float = 0.01
    max_backtracks: int = 10
    value_updates: int = 5

    def __check_init__(self):
        check_discount(self.gamma)
        require_positive(self, "num_envs", "window", "cg_iterations", "max_backtracks", "value_updates")
        if not 0 <= self.gae_lambda <= 1:
            raise InputError(f"TRPO(gae_lambda={self.gae_lambda}): give 0 <= gae_lambda <= 1.")
        if self.max_kl <= 0 or self.damping < 0:
            raise InputError(f"TRPO(max_kl={self.max_kl}, damping={self.damping}): give max_kl > 0 and damping >= 0.")

    def begin(self, network: Model, key: PRNGKeyArray) -> AgentState:
        if not isinstance(network, ActorCritic):
            raise InputError(
                "TRPO updates the policy separately from the value: give separate memories, shared_memory=False."
            )
        return super().begin(network, key)

    def targets(self, rollout: Rollout) -> PolicyGradientTargets:
        advantage = jax.vmap(lambda rewards: gae(rewards, value_at(self.gamma), self.gae_lambda))(rollout.rewards)
        steps, weight = rollout.trajectory, rollout.trajectory.weight
        value = advantage + steps.extras.value
        return PolicyGradientTargets(steps.action, normalise_advantage(advantage, weight), value, weight)

    def loss(self, output: ActorCriticOutput, target: PolicyGradientTargets) -> tuple[Float[Array, ""], dict[str, Tally]]:
        """Returns −A log π plus the value loss. At the old policy, −A log π has the gradient of the surrogate −ρ A."""
        actions = distribution(self.env.action_space, output.policy)
        surrogate, value_loss = -target.psi * actions.log_prob(target.action), (output.value - target.value) ** 2 / 2
        terms = {"losses/value_loss": value_loss, "losses/entropy": actions.entropy()}
        return target.weight * (surrogate + value_loss), weighted(terms, target.weight)

    def learn(self, state: AgentState, rollout: Rollout, key: PRNGKeyArray) -> Learned:
        targets = self.targets(rollout)
        window, keys = rollout.window(targets), jax.random.split(key, self.value_updates)
        gradient, carry, outcome = self.estimator.gradient(self.step, state.network, state.carry, window, keys[0])
        policy, step_metrics = self.step_policy(state.network.policy, gradient.policy, state.carry.state[0], window)
        network, optimizer = self.step_value(state.network, state.optimizer, gradient, outcome.loss)
        for key in keys[1:]:
            again, _, found = self.estimator.gradient(self.step, network, state.carry, window, key)
            network, optimizer = self.step_value(network, optimizer, again, found.loss)
        network = eqx.tree_at(lambda network: network.policy, network, policy)
        metrics = outcome.metrics | step_metrics | value_metrics(rollout, targets.value)
        metrics |= descent_metrics(self.optimizer, gradient, state.updates * self.value_updates)
        return Learned(network, optimizer, carry, Outcome(outcome.loss, metrics))

    def step_value(
        self, network: Model, optimizer: PyTree, gradient: Model, loss: Float[Array, ""]
    ) -> tuple[Model, PyTree]:
        """Returns `(network, optimizer)` after one optimizer step of the value alone."""
        stepped, optimizer = descend(self.optimizer, network, optimizer, gradient, loss)
        return eqx.tree_at(lambda network: network.policy, stepped, network.policy), optimizer

    def step_policy(
        self, policy: Network, gradient: Model, memory: State, window: Window
    ) -> tuple[Network, dict[str, Tally]]:
        """Returns `(policy, metrics)` after one natural-gradient step."""
        here, static = eqx.partition(policy, eqx.is_inexact_array)
        unrolled = UnrolledPolicy(self.env, static, memory, time_major(window))
        old, fisher = unrolled.fisher(here)

        def product(direction: Direction) -> Direction:
            return optax.tree.add_scale(fisher(direction), self.damping, direction)

        x, _ = jax.scipy.sparse.linalg.cg(product, gradient, maxiter=self.cg_iterations, tol=1e-10)
        scale = jnp.sqrt(2 * self.max_kl / jnp.maximum(optax.tree.vdot(x, product(x)), 1e-20))

        def halved(halvings: Int[Array, ""]) -> Model:
            return optax.tree.add_scale(here, -scale * jnp.exp2(-halvings.astype(scale.dtype)), x)

        after, found = self.line_search(unrolled, old, here, halved)
        new = unrolled.outputs(after)
        metrics = {
            "losses/approx_kl": unrolled.divergence(old, new),
            "losses/policy_loss": unrolled.surrogate(old, new),
            "losses/line_search_failed": (~found).astype(scale.dtype),
        }
        tallies = {name: Tally(value, jnp.ones_like(value)) for name, value in metrics.items()}
        return eqx.combine(after, static), tallies

    def line_search(
        self, unrolled: UnrolledPolicy, old: PyTree[Array], here: Model, halved: Callable[[Int[Array, ""]], Model]
    ) -> tuple[Model, Bool[Array, ""]]:
        """Returns `(parameters, found)`: those of the longest acceptable step, or `here` if no step is acceptable.

        **Arguments:**

        - `old`: the outputs of the policy before the step.
        - `here`: its parameters.
        - `halved`: maps the number of halvings to the parameters after the step.
        """

        def rejected(halvings):
            new = unrolled.outputs(halved(halvings))
            near = unrolled.divergence(old, new) <= self.max_kl
            return ~(near & (unrolled.surrogate(old, new) < unrolled.surrogate(old, old)))

        halvings = jax.lax.while_loop(
            lambda halvings: (halvings <= self.max_backtracks) & rejected(halvings),
            lambda halvings: halvings + 1,
            jnp.zeros((), int),
        )
        found = halvings <= self.max_backtracks
        return jax.tree.map(lambda new, old: jnp.where(found, new, old), halved(halvings), here), found
