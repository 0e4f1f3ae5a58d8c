"""Deep deterministic policy gradients, with any memory: DDPG, TD3 and RDPG.

References: Lillicrap et al., *Continuous control with deep reinforcement learning* (DDPG), ICLR 2016; Heess et al.,
*Memory-based control with recurrent neural networks* (RDPG), 2015; Fujimoto, van Hoof and Meger, *Addressing function
approximation error in actor-critic methods* (TD3), ICML 2018.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from farback.acting import Trajectory
from farback.agents.exploration import AbstractExploration, GaussianNoise, NoExploration
from farback.agents.off_policy import Learner, check_off_policy
from farback.agents.policy_q import AbstractPolicyQAgent, PolicyQPolicy
from farback.agents.policy_q_network import PolicyQ
from farback.algorithm import require_positive
from farback.envs.base import AbstractEnv
from farback.estimators import BPTT, AbstractEstimator
from farback.ops.optimizers import Optimizer
from farback.ops.schedules import LinearSchedule
from farback.step import Model
from farback.types import InputError


class DDPG(AbstractPolicyQAgent):
    """Deep deterministic policy gradient: learns a policy μ and critics Q of continuous actions from a replay.

        y_t = r_t + γ min_i Q⁻_i(o_{t+1}, μ⁻(o_{t+1}) + ε),      ε = clip(σ N(0, 1), −c, c)
        loss = mean_t [ Σ_i (y_t − Q_i(o_t, a_t))² / 2 − Q_1(o_t, μ(o_t)) ]

    The critics are constants in the second term. With a recurrent cell, μ and Q depend on the past, and this is RDPG,
    from windows instead of whole episodes. TD3 is `policy_period=2, smoothing_std=0.2` with `critics=2` in the network.

    **Arguments:**

    - `env`: the environment, such as Pendulum().
    - `network`: the network, a maker `network(env, key=key)` such as a `DDPGNetwork`.
    - `estimator`: how credit passes through a window: BPTT(), TBPTT(k) or ARTBP(k).
    - `optimizer`: the optimizer of the critics, such as adam(3e-3). In Python, an optax gradient transformation.
    - `policy_optimizer`: the optimizer of the policy, such as adam(1e-3).
    - `exploration`: how actions differ from the policy's, such as GaussianNoise(0.1) or OrnsteinUhlenbeck().
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
    - `smoothing_std`: σ, the standard deviation of the noise on target actions, which lie between −1 and 1.
    - `smoothing_clip`: c, the largest size of that noise.
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
    exploration: AbstractExploration = GaussianNoise(0.1)
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
    smoothing_std: float = 0.0
    smoothing_clip: float = 0.5
    within_episodes: bool = False
    prioritized: bool = False
    priority_exponent: float = 0.6
    importance_exponent: float | LinearSchedule = 0.4

    def __check_init__(self):
        check_off_policy(self)
        require_positive(self, "policy_period")
        if self.smoothing_std < 0 or self.smoothing_clip < 0:
            raise InputError(
                f"DDPG(smoothing_std={self.smoothing_std}, smoothing_clip={self.smoothing_clip}): give at least 0 for both."
            )

    @property
    def stochastic(self) -> bool:
        return False

    def policy(self, network: Model) -> PolicyQPolicy:
        return PolicyQPolicy(network, self.env, NoExploration())

    def next_values(
        self, learner: Learner, steps: Trajectory, theirs: Any, noise: Float[Array, "batch time actions"]
    ) -> Float[Array, "batch time"]:
        del steps
        unit = jax.vmap(jax.vmap(learner.target.policy.head))(theirs[0])
        unit += jnp.clip(self.smoothing_std * noise, -self.smoothing_clip, self.smoothing_clip)
        return jnp.min(jax.vmap(jax.vmap(learner.target.critic.head))(theirs[1], jnp.clip(unit, -1, 1)), axis=-1)

    def policy_loss(
        self,
        network: PolicyQ,
        output: Float[Array, " actions"],
        values: Callable[[Float[Array, " actions"]], Float[Array, " critics"]],
        noise: Float[Array, " actions"],
    ) -> tuple[Float[Array, ""], dict[str, Any]]:
        del network, noise
        return -values(output)[0], {}
