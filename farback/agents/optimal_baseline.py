"""The policy gradient with the baseline of least variance.

Reference: Peters and Schaal, *Reinforcement learning of motor skills with policy gradients*, 2008; Bartunov's slides.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from farback.agents.on_policy import AbstractOnPolicyAgent, AgentState, Learned, Rollout, weighted
from farback.agents.policy_gradient import PolicyGradientTargets
from farback.algorithm import require_positive
from farback.envs.base import AbstractEnv
from farback.estimators import BPTT, AbstractEstimator
from farback.heads import ActorCriticOutput
from farback.ops.distributions import distribution
from farback.ops.optimizers import Optimizer, descend, descent_metrics
from farback.ops.returns import discounted
from farback.ops.schedules import LinearSchedule, check_discount, value_at
from farback.step import Model
from farback.types import Carry, InputError, Outcome, Tally, Window


class OptimalBaseline(AbstractOnPolicyAgent):
    """Policy gradient with the baseline of least variance, one for each parameter.

        ∂_j J ≈ Σ_t (G_t − b_j) ∂_j log π(a_t | m_t),      G_t = r_t + γ r_{t+1} + …
        b_j = E[G_t (∂_j log π)²] / E[(∂_j log π)²]

    This b_j minimises the variance of the estimate if steps are independent. The means are over the other sequences of the
    rollout, so the gradient stays unbiased. No value is learnt: a return ends where the rollout ends. Use rollouts that end
    with episodes.

    Each step of each sequence needs a gradient of its own, so a rollout of T steps costs T times as much as with
    `PolicyGradient`.

    **Arguments:**

    - `env`: the environment, such as TMaze(100).
    - `network`: the network, a maker `network(env, key=key)` such as an `ActorCriticNetwork`.
    - `estimator`: how credit passes through time, such as BPTT() or RTRL().
    - `optimizer`: the optimizer, such as adam(3e-3). In Python, an optax gradient transformation.
    - `num_envs`: the number of parallel copies of the environment, at least 2.
    - `window`: the time steps of a rollout in each copy, between two updates.
    - `gamma`: the discount γ of rewards: a number, or a LinearSchedule.

    Reference: Peters and Schaal, *Reinforcement learning of motor skills with policy gradients*, 2008.
    """

    env: AbstractEnv
    network: Callable[..., Model]
    estimator: AbstractEstimator = BPTT()
    optimizer: Optimizer = optax.adam(3e-3)
    num_envs: int = 16
    window: int = 64
    gamma: float | LinearSchedule = 0.99

    def __check_init__(self):
        require_positive(self, "num_envs", "window")
        check_discount(self.gamma)
        if self.num_envs < 2:
            raise InputError(
                f"OptimalBaseline(num_envs={self.num_envs}): the baseline of a sequence is a mean over the others; give "
                f"num_envs >= 2."
            )

    def targets(self, rollout: Rollout) -> PolicyGradientTargets:
        rewards = rollout.rewards._replace(value=0 * rollout.rewards.value)
        returns = jax.vmap(lambda rewards: discounted(rewards, value_at(self.gamma)))(rewards)
        return PolicyGradientTargets(rollout.trajectory.action, returns, returns, rollout.trajectory.weight)

    def loss(self, output: ActorCriticOutput, target: PolicyGradientTargets) -> tuple[Float[Array, ""], dict[str, Tally]]:
        """Returns the log-probability of the action as the loss, so that the gradient is the score ∇ log π."""
        actions = distribution(self.env.action_space, output.policy)
        log_prob = actions.log_prob(target.action)
        terms = {"losses/policy_loss": -target.psi * log_prob, "losses/entropy": actions.entropy()}
        return target.weight * log_prob, weighted(terms, target.weight)

    def learn(self, state: AgentState, rollout: Rollout, key: PRNGKeyArray) -> Learned:
        window = rollout.window(self.targets(rollout))
        _, carry, outcome = self.estimator.gradient(self.step, state.network, state.carry, window, key)
        keys = jax.random.split(key, len(window.first))
        sums = jax.lax.map(lambda one: self.sums(state.network, *one), (state.carry, window, keys))
        gradient = jax.tree.map(lambda *each: -jnp.mean(baselined(*each), axis=0), *sums)
        network, optimizer = descend(self.optimizer, state.network, state.optimizer, gradient, outcome.loss)
        metrics = outcome.metrics | descent_metrics(self.optimizer, gradient, state.updates)
        return Learned(network, optimizer, carry, Outcome(outcome.loss, metrics))

    def sums(self, model: Model, carry: Carry, window: Window, key: PRNGKeyArray) -> tuple[Model, Model, Model, Model]:
        """Returns Σ_t of g, G g, g² and G g² over one sequence, where g is the score ∇ log π of a step."""
        carry, window = jax.tree.map(lambda leaf: leaf[None], (carry, window))
        steps = window.first.shape[1]

        def add(sums, now):
            time, key = now
            weight = jnp.where(jnp.arange(steps) == time, window.targets.weight, 0)
            one_step = Window(window.first, window.inputs, window.targets._replace(weight=weight))
            score = self.estimator.gradient(self.step, model, carry, one_step, key)[0]
            total = window.targets.psi[0, time]
            terms = [
                jax.tree.map(of, score) for of in (lambda g: g, lambda g: total * g, jnp.square, lambda g: total * g**2)
            ]
            return tuple(jax.tree.map(jnp.add, *pair) for pair in zip(sums, terms, strict=True)), None

        zeros = jax.tree.map(jnp.zeros_like, eqx.filter(model, eqx.is_inexact_array))
        return jax.lax.scan(add, (zeros,) * 4, (jnp.arange(steps), jax.random.split(key, steps)))[0]


def baselined(
    score: Float[Array, "batch *shape"],
    weighted_score: Float[Array, "batch *shape"],
    square: Float[Array, "batch *shape"],
    weighted_square: Float[Array, "batch *shape"],
) -> Float[Array, "batch *shape"]:
    """Returns Σ_t (G − b) g of each sequence, with b = Σ G g² / Σ g² over the other sequences.

    **Arguments:**

    - `score`, `weighted_score`, `square`, `weighted_square`: Σ_t of g, G g, g² and G g² of each sequence.
    """
    others = jnp.sum(square, axis=0) - square
    returns = jnp.sum(weighted_square, axis=0) - weighted_square
    baseline = jnp.where(others > 0, returns / jnp.where(others > 0, others, 1), 0)
    return weighted_score - baseline * score
