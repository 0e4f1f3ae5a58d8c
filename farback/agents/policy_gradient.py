"""Recurrent policy gradients: ascent along Ψ ∇ log π, where the policy includes a memory.

    ∇J ≈ E Σ_t Ψ_t ∇ log π(a_t | m_t),      m_t = mem(m_{t−1}, o_t)

An estimator passes the gradient through the memory.

Reference: Bartunov, *Recurrent policy gradients*, slides; Sutton et al., NIPS 1999; Wierstra et al., 2010; Schulman et al.,
ICLR 2016.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from farback.agents.on_policy import AbstractOnPolicyAgent, AgentState, Learned, Rollout, value_metrics, weighted
from farback.agents.psi import GAE, AbstractPsi
from farback.algorithm import require_positive
from farback.envs.base import AbstractEnv
from farback.estimators import BPTT, AbstractEstimator
from farback.heads import ActorCriticOutput
from farback.ops.distributions import distribution
from farback.ops.optimizers import Optimizer, descend, descent_metrics
from farback.ops.schedules import LinearSchedule, check_discount, value_at
from farback.step import Model
from farback.types import Outcome, Tally


class PolicyGradientTargets(NamedTuple):
    """The targets of a step: its action, Ψ, the target of its value, and its weight in the loss."""

    action: PyTree
    psi: Float[Array, "*steps"]
    value: Float[Array, "*steps"]
    weight: Float[Array, "*steps"]


class PolicyGradient(AbstractOnPolicyAgent):
    """Policy gradient (REINFORCE, A2C): one optimizer step on each rollout.

        loss = mean_t [ −Ψ_t log π(a_t | m_t) + c_V (V(m_t) − G_t)² / 2 − c_H H(π(· | m_t)) ]

    Ψ and G are constants of the gradient. Last observations, whose action has no effect, have weight 0. With
    `psi=NStep(k)` or `psi=GAE(lam)` this is A2C.

    **Arguments:**

    - `env`: the environment, such as TMaze(100).
    - `network`: the network, a maker `network(env, key=key)` such as an `ActorCriticNetwork`.
    - `estimator`: how credit passes through time, such as BPTT() or RTRL().
    - `optimizer`: the optimizer, such as adam(3e-3). In Python, an optax gradient transformation.
    - `num_envs`: the number of parallel copies of the environment.
    - `window`: the time steps of a rollout in each copy, between two updates.
    - `psi`: the factor Ψ of ∇ log π: EpisodeReturn(), RewardToGo(), GAE(0.95), NStep(5) or ImmediateReward().
    - `gamma`: the discount γ of rewards: a number, or a LinearSchedule. As usual, steps are not weighted by γᵗ.
    - `value_coef`: the weight c_V of the value loss. With separate memories it only scales the gradient of the value.
    - `entropy_coef`: the weight c_H of the entropy bonus: a number, or a LinearSchedule.

    Reference: Williams, *Simple statistical gradient-following algorithms*, 1992; Mnih et al., ICML 2016.
    """

    env: AbstractEnv
    network: Callable[..., Model]
    estimator: AbstractEstimator = BPTT()
    optimizer: Optimizer = optax.adam(3e-3)
    num_envs: int = 16
    window: int = 64
    psi: AbstractPsi = GAE()
    gamma: float | LinearSchedule = 0.99
    value_coef: float = 0.5
    entropy_coef: float | LinearSchedule = 0.0

    def __check_init__(self):
        require_positive(self, "num_envs", "window")
        check_discount(self.gamma)

    def targets(self, rollout: Rollout) -> PolicyGradientTargets:
        gamma, first = value_at(self.gamma), rollout.trajectory.first
        found = jax.vmap(lambda rewards, first: self.psi(rewards, first, gamma))(rollout.rewards, first)
        return PolicyGradientTargets(rollout.trajectory.action, found.psi, found.value, rollout.trajectory.weight)

    def loss(self, output: ActorCriticOutput, target: PolicyGradientTargets) -> tuple[Float[Array, ""], dict[str, Tally]]:
        actions = distribution(self.env.action_space, output.policy)
        policy_loss = -target.psi * actions.log_prob(target.action)
        value_loss, entropy = (output.value - target.value) ** 2 / 2, actions.entropy()
        terms = {"losses/policy_loss": policy_loss, "losses/value_loss": value_loss, "losses/entropy": entropy}
        loss = policy_loss + self.value_coef * value_loss - value_at(self.entropy_coef) * entropy
        return target.weight * loss, weighted(terms, target.weight)

    def learn(self, state: AgentState, rollout: Rollout, key: PRNGKeyArray) -> Learned:
        targets = self.targets(rollout)
        window = rollout.window(targets)
        gradient, carry, outcome = self.estimator.gradient(self.step, state.network, state.carry, window, key)
        network, optimizer = descend(self.optimizer, state.network, state.optimizer, gradient, outcome.loss)
        metrics = outcome.metrics | descent_metrics(self.optimizer, gradient, state.updates)
        return Learned(network, optimizer, carry, Outcome(outcome.loss, metrics | value_metrics(rollout, targets.value)))
