"""Soft actor-critic, with any memory.

References: Haarnoja et al., *Soft actor-critic: off-policy maximum entropy deep reinforcement learning with a stochastic
actor*, ICML 2018; Haarnoja et al., *Soft actor-critic algorithms and applications*, 2018.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from farback.acting import Trajectory
from farback.agents.exploration import AbstractExploration, NoExploration
from farback.agents.off_policy import Learner, check_off_policy, first_memory, unrolled
from farback.agents.policy_q import AbstractPolicyQAgent, PolicyQPolicy
from farback.agents.policy_q_network import PolicyQ
from farback.algorithm import require_positive
from farback.envs.base import AbstractEnv
from farback.estimators import BPTT, AbstractEstimator
from farback.ops.optimizers import Optimizer
from farback.ops.schedules import LinearSchedule
from farback.step import Model


class SAC(AbstractPolicyQAgent):
    """Soft actor-critic: learns a stochastic policy π and critics Q of continuous actions, with a bonus for entropy.

        y_t = r_t + γ (min_i Q⁻_i(o_{t+1}, a′) − α log π(a′ | o_{t+1})),      a′ ~ π(· | o_{t+1})
        critic loss = mean_t Σ_i (y_t − Q_i(o_t, a_t))² / 2
        policy loss = mean_t [ α log π(a | o_t) − min_i Q_i(o_t, a) ],      a ~ π(· | o_t)
        temperature loss = −mean_t log α · (log π(a | o_t) + H)

    So the temperature α is learnt such that the entropy of the policy is about H, the target. With a recurrent cell, π and
    Q depend on the past. The policy is a Gaussian within tanh, in units of [−1, 1].

    **Arguments:**

    - `env`: the environment, such as Pendulum().
    - `network`: the network, a maker `network(env, key=key)` such as a `SACNetwork`.
    - `estimator`: how credit passes through a window: BPTT(), TBPTT(k) or ARTBP(k).
    - `optimizer`: the optimizer of the critics, such as adam(3e-3). In Python, an optax gradient transformation.
    - `policy_optimizer`: the optimizer of the policy and of the temperature, such as adam(1e-3).
    - `exploration`: how actions differ from those of the policy; NoExploration() by default, since the policy is random.
    - `num_envs`: the number of parallel copies of the environment.
    - `window`: the time steps in each copy between two updates.
    - `buffer_size`: the number of steps in the replay, over all copies.
    - `buffer_on_host`: whether a run keeps the replay in memory-mapped files of the host, for want of room on the device.
    - `batch_size`: the number of windows of a gradient step.
    - `sequence_length`: the time steps of a window that are learnt.
    - `burn_in`: the time steps before them, from which only the memories are recomputed.
    - `n_step`: the number of rewards of a target.
    - `learning_starts`: the number of steps in the replay, over all copies, before the first gradient step. Until then,
      actions are uniformly random.
    - `gradient_steps`: the number of gradient steps of an update.
    - `gamma`: the discount γ of rewards: a number, or a LinearSchedule.
    - `target_rate`: how far the target moves towards the network, 0 < τ <= 1; 1 copies the network.
    - `target_period`: the gradient steps between two moves of the target.
    - `policy_period`: the gradient steps of the critics to one of the policy.
    - `target_entropy`: H, in nats; by default minus the number of actions.
    - `within_episodes`: whether windows that contain a part of more than one episode are left out.
    - `prioritized`: whether windows of large errors are drawn more often.
    - `priority_exponent`: α, how much more often; 0 draws uniformly.
    - `importance_exponent`: β, how far the weights of windows in the loss correct for this: a number, or a LinearSchedule.
    """

    env: AbstractEnv
    network: Callable[..., Model]
    estimator: AbstractEstimator = BPTT()
    optimizer: Optimizer = optax.adam(3e-3)
    policy_optimizer: Optimizer = optax.adam(1e-3)
    exploration: AbstractExploration = NoExploration()
    num_envs: int = 8
    window: int = 8
    buffer_size: int = 100_000
    buffer_on_host: bool = False
    batch_size: int = 32
    sequence_length: int = 16
    burn_in: int = 0
    n_step: int = 1
    learning_starts: int = 1_000
    gradient_steps: int = 8
    gamma: float | LinearSchedule = 0.99
    target_rate: float = 0.01
    target_period: int = 1
    policy_period: int = 1
    target_entropy: float | None = None
    within_episodes: bool = False
    prioritized: bool = False
    priority_exponent: float = 0.6
    importance_exponent: float | LinearSchedule = 0.4

    def __check_init__(self):
        check_off_policy(self)
        require_positive(self, "policy_period")

    @property
    def stochastic(self) -> bool:
        return True

    def policy(self, network: Model) -> PolicyQPolicy:
        return PolicyQPolicy(network, self.env, NoExploration(), greedy=True)

    def next_values(
        self, learner: Learner, steps: Trajectory, theirs: Any, noise: Float[Array, "batch time actions"]
    ) -> Float[Array, "batch time"]:
        network: Any = learner.network
        ours = jax.vmap(jax.vmap(network.policy.head))(unrolled(network, first_memory(steps), steps)[1][0])
        unit, log_prob = ours.sample(noise)
        values = jax.vmap(jax.vmap(learner.target.critic.head))(theirs[1], unit)
        return jnp.min(values, axis=-1) - jnp.exp(network.log_alpha) * log_prob

    def policy_loss(
        self,
        network: PolicyQ,
        output: Any,
        values: Callable[[Float[Array, " actions"]], Float[Array, " critics"]],
        noise: Float[Array, " actions"],
    ) -> tuple[Float[Array, ""], dict[str, Any]]:
        unit, log_prob = output.sample(noise)
        log_alpha: Any = network.log_alpha
        alpha, target = jnp.exp(log_alpha), -len(noise) if self.target_entropy is None else self.target_entropy
        temperature_loss = -log_alpha * jax.lax.stop_gradient(log_prob + target)
        loss = jax.lax.stop_gradient(alpha) * log_prob - jnp.min(values(unit)) + temperature_loss
        return loss, {"losses/entropy": -log_prob, "charts/alpha": alpha}
