"""Deep Q-learning, with any memory: DQN, QR-DQN, and the ingredients of R2D2.

References: Mnih et al., *Human-level control through deep reinforcement learning*, Nature 2015; van Hasselt, Guez and
Silver, *Deep reinforcement learning with double Q-learning*, AAAI 2016; Dabney et al., *Distributional reinforcement
learning with quantile regression*, AAAI 2018; Kapturowski et al., *Recurrent experience replay in distributed
reinforcement learning* (R2D2), ICLR 2019.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from farback.acting import Trajectory
from farback.agents.base import output_shapes
from farback.agents.exploration import AbstractExploration, EpsilonGreedy, NoExploration
from farback.agents.off_policy import (
    AbstractOffPolicyAgent,
    Improvement,
    Learner,
    StoredMemory,
    bootstrapped,
    check_off_policy,
    first_memory,
    outputs,
)
from farback.agents.q_network import require_discrete
from farback.agents.q_policy import QPolicy
from farback.envs.base import AbstractEnv
from farback.estimators import BPTT, AbstractEstimator
from farback.network import NetworkStep
from farback.ops.optimizers import Optimizer, descend, descent_metrics
from farback.ops.quantiles import quantile_loss
from farback.ops.rescaling import rescale, unrescale
from farback.ops.schedules import LinearSchedule, value_at
from farback.step import Model
from farback.types import InputError, Outcome, Tally, Window


class QTargets(NamedTuple):
    """The targets of a step: the action, samples of its return, and the weight of the step in the loss."""

    action: Int[Array, "*steps"]
    samples: Float[Array, "*steps samples"]
    weight: Float[Array, "*steps"]


class DQN(AbstractOffPolicyAgent):
    """Deep Q-learning: learns the value of each action from windows of a replay.

        y_t = r_t + … + γ^{n−1} r_{t+n−1} + γⁿ Q⁻(o_{t+n}, argmax_a Q(o_{t+n}, a)),      loss = mean_t L(y_t − Q(o_t, a_t))

    L(δ) = δ² / 2, and Q⁻ is the target network. If the network has several quantiles of each return, this is QR-DQN: L is
    the quantile regression loss, and Q the mean of the quantiles.

    With a recurrent cell, Q depends on the past, and windows begin with the stored memory. R2D2 is `burn_in=40,
    sequence_length=80, n_step=5, prioritized=True, value_rescaling=True`, with `dueling=True` in the network.

    **Arguments:**

    - `env`: the environment, such as TMaze(20).
    - `network`: the network, a maker `network(env, key=key)` such as a `QNetwork`.
    - `estimator`: how credit passes through a window: BPTT(), TBPTT(k) or ARTBP(k).
    - `optimizer`: the optimizer, such as adam(3e-3). In Python, an optax gradient transformation.
    - `exploration`: how actions differ from the best ones, such as EpsilonGreedy(0.1). Noise is added to action values.
    - `num_envs`: the number of parallel copies of the environment.
    - `window`: the time steps in each copy between two updates.
    - `buffer_size`: the number of steps in the replay, over all copies.
    - `buffer_on_host`: whether a run keeps the replay in memory-mapped files of the host, for want of room on the device.
    - `batch_size`: the number of windows of a gradient step.
    - `sequence_length`: the time steps of a window that are learnt.
    - `burn_in`: the time steps before them, from which only the memory is recomputed.
    - `n_step`: n, the number of rewards of a target.
    - `learning_starts`: the number of steps in the replay, over all copies, before the first gradient step. Until then,
      actions are uniformly random.
    - `gradient_steps`: the number of gradient steps of an update.
    - `gamma`: the discount γ of rewards: a number, or a LinearSchedule.
    - `target_rate`: how far the target moves towards the network, 0 < τ <= 1; 1 copies the network.
    - `target_period`: the gradient steps between two moves of the target.
    - `double`: whether the network, rather than its target, chooses the best next action.
    - `within_episodes`: whether windows that contain a part of more than one episode are left out.
    - `prioritized`: whether windows of large errors are drawn more often.
    - `priority_exponent`: α, how much more often; 0 draws uniformly.
    - `importance_exponent`: β, how far the weights of windows in the loss correct for this: a number, or a LinearSchedule.
    - `value_rescaling`: whether values are rescaled by sign(x) (√(|x| + 1) − 1) + 0.001 x.
    """

    env: AbstractEnv
    network: Callable[..., Model]
    estimator: AbstractEstimator = BPTT()
    optimizer: Optimizer = optax.adam(3e-3)
    exploration: AbstractExploration = EpsilonGreedy(0.1)
    num_envs: int = 8
    window: int = 8
    buffer_size: int = 100_000
    buffer_on_host: bool = False
    batch_size: int = 32
    sequence_length: int = 16
    burn_in: int = 0
    n_step: int = 1
    learning_starts: int = 1_000
    gradient_steps: int = 4
    gamma: float | LinearSchedule = 0.99
    target_rate: float = 0.01
    target_period: int = 1
    double: bool = True
    within_episodes: bool = False
    prioritized: bool = False
    priority_exponent: float = 0.6
    importance_exponent: float | LinearSchedule = 0.4
    value_rescaling: bool = False

    def __check_init__(self):
        check_off_policy(self)

    def policy(self, network: Model) -> QPolicy:
        return QPolicy(network, self.env, NoExploration())

    def behaviour(self, network: Model) -> QPolicy:
        return QPolicy(network, self.env, self.exploration)

    @property
    def first_action(self) -> int:
        """The number of the first action, usually 0."""
        return int(require_discrete(self.env, type(self).__name__).start)

    def timeline_metrics(self, extras: StoredMemory) -> dict[str, Any]:
        return {"charts/value": extras.value}

    def init_optimizer(self, network: Model) -> PyTree:
        return self.optimizer.init(eqx.filter(network, eqx.is_inexact_array))

    def check_network(self, network: Model) -> None:
        name = type(self).__name__
        space = require_discrete(self.env, name)
        found = output_shapes(network, self.env)
        if not isinstance(found, jax.ShapeDtypeStruct) or len(found.shape) != 2 or found.shape[0] != space.n:
            raise InputError(
                f"The network's output is {found}, but {name} needs an array [{space.n} actions, quantiles]: make it with "
                f"QNetwork(cell)."
            )

    def loss(
        self, output: Float[Array, "actions quantiles"], target: QTargets
    ) -> tuple[Float[Array, ""], dict[str, Tally]]:
        """Returns `(loss, metrics)` of one step."""
        quantiles = output[target.action - self.first_action]
        if len(quantiles) == 1:
            loss = optax.losses.l2_loss(quantiles[0], target.samples[0])
        else:
            loss = quantile_loss(quantiles, target.samples)
        error = jnp.abs(jnp.mean(target.samples) - jnp.mean(quantiles))
        metrics = {"losses/td_error": error, "charts/q_values": jnp.mean(quantiles)}
        counted = (target.weight > 0).astype(loss.dtype)
        return target.weight * loss, {name: Tally(counted * term, counted) for name, term in metrics.items()}

    def improve(
        self, learner: Learner, steps: Trajectory, weight: Float[Array, " batch"], key: PRNGKeyArray
    ) -> Improvement:
        network = learner.network
        theirs = ours = outputs(learner.target, first_memory(steps), steps)
        if self.double or self.prioritized:
            ours = outputs(network, first_memory(steps), steps)
        samples = self.return_samples(steps, ours, theirs)
        memory, (learnt, samples, values) = self.after_burn_in(network, steps, (steps, samples, jnp.mean(ours, axis=-1)))
        targets = QTargets(learnt.action, samples, learnt.weight * weight[:, None])
        window = Window(learnt.first, learnt.observation, targets)
        step = NetworkStep(self.loss)
        carry = self.estimator.init(step, network, window, memory)
        gradient, _, outcome = self.estimator.gradient(step, network, carry, window, key)
        network, optimizer = descend(self.optimizer, network, learner.optimizer, gradient, outcome.loss)
        metrics = outcome.metrics | descent_metrics(self.optimizer, gradient, learner.gradient_steps)
        at = (learnt.action - self.first_action)[..., None]
        chosen = jnp.take_along_axis(values, at, axis=-1)[..., 0]
        error = jnp.where(learnt.last, 0, jnp.abs(jnp.mean(samples, axis=-1) - chosen))
        learner = Learner(network, learner.target, optimizer, learner.gradient_steps)
        return Improvement(learner, Outcome(outcome.loss, metrics), error)

    def return_samples(
        self,
        steps: Trajectory,
        ours: Float[Array, "batch time actions quantiles"],
        theirs: Float[Array, "batch time actions quantiles"],
    ) -> Float[Array, "batch time-1 quantiles"]:
        """Returns samples of the n-step return of each action taken:

            r_t + … + γ^{n−1} r_{t+n−1} + γⁿ Z⁻(o_{t+n}, a*)

        Z⁻ are the quantiles of the target network, and a* the best action by it or, with `double`, by the network.
        """
        best = jnp.argmax(jnp.mean(ours if self.double else theirs, axis=-1), axis=-1)
        value = jnp.take_along_axis(theirs, best[..., None, None], axis=2)[:, :, 0]
        value = unrescale(value) if self.value_rescaling else value
        found = bootstrapped(steps, value, value_at(self.gamma), self.n_step)
        return rescale(found) if self.value_rescaling else found
