"""Recurrent proximal policy optimisation.

Reference: Schulman et al., *Proximal policy optimization algorithms*, 2017.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from farback.agents.on_policy import AbstractOnPolicyAgent, AgentState, Learned, Rollout, value_metrics, weighted
from farback.algorithm import require_positive
from farback.envs.base import AbstractEnv
from farback.estimators import BPTT, AbstractEstimator
from farback.estimators.base import time_major
from farback.heads import ActorCriticOutput
from farback.network import NetworkStep
from farback.ops.distributions import distribution
from farback.ops.optimizers import Optimizer, descend, descent_metrics
from farback.ops.returns import gae, normalise_advantage
from farback.ops.schedules import LinearSchedule, check_discount, value_at
from farback.step import Model
from farback.types import Carry, InputError, Outcome, Tally, Window


class PPOTargets(NamedTuple):
    """The targets of a step: the action, its log-probability and advantage, the value target, the weight in the loss."""

    action: PyTree
    log_prob: Float[Array, "*steps"]
    advantage: Float[Array, "*steps"]
    value: Float[Array, "*steps"]
    weight: Float[Array, "*steps"]


class PPO(AbstractOnPolicyAgent):
    """Proximal policy optimisation: several epochs of clipped updates on each rollout.

        loss = mean_t [ −min(ρ_t A_t, clip(ρ_t, 1 − ε, 1 + ε) A_t) + c_V (V(m_t) − G_t)² / 2 − c_H H(π(· | m_t)) ]
        ρ_t = π(a_t | m_t) / π_old(a_t | m_t)

    A is the generalised advantage, normalised in each minibatch; G = A + V before normalisation. A minibatch consists of
    whole sequences. Each update recomputes the memories with the current parameters, from the memory at the beginning of
    the rollout, so ρ is exactly 1 until the parameters change.

    With `sequence_length`, rollouts are cut into shorter sequences. Each begins with the memory that the agent had there,
    which becomes stale as the parameters change. Forward estimators need no short sequences, because they carry a trace.

    **Arguments:**

    - `env`: the environment, such as TMaze(100).
    - `network`: the network, a maker `network(env, key=key)` such as an `ActorCriticNetwork`.
    - `estimator`: how credit passes through time, such as BPTT() or RTRL().
    - `optimizer`: the optimizer, such as adam(3e-3). In Python, an optax gradient transformation.
    - `num_envs`: the number of parallel copies of the environment.
    - `window`: the time steps of a rollout in each copy, between two updates.
    - `epochs`: the number of passes over each rollout.
    - `minibatches`: the number of minibatches in an epoch. It divides the number of sequences.
    - `gamma`: the discount γ of rewards: a number, or a LinearSchedule.
    - `gae_lambda`: the decay λ of the generalised advantages, from 0 to 1.
    - `clip_eps`: the clip range ε: ratios ρ outside of 1 − ε to 1 + ε bring no further gain.
    - `value_coef`: the weight c_V of the value loss.
    - `entropy_coef`: the weight c_H of the entropy bonus: a number, or a LinearSchedule.
    - `sequence_length`: the time steps of a training sequence, a divisor of the window. By default, the whole window.

    Reference: Schulman et al., *Proximal policy optimization algorithms*, 2017.
    """

    env: AbstractEnv
    network: Callable[..., Model]
    estimator: AbstractEstimator = BPTT()
    optimizer: Optimizer = optax.adam(3e-3)
    num_envs: int = 16
    window: int = 64
    epochs: int = 4
    minibatches: int = 4
    gamma: float | LinearSchedule = 0.99
    gae_lambda: float = 0.95
    clip_eps: float = 0.2
    value_coef: float = 0.5
    entropy_coef: float | LinearSchedule = 0.01
    sequence_length: int | None = None

    def __check_init__(self):
        check_discount(self.gamma)
        require_positive(self, "num_envs", "window", "epochs", "minibatches")
        if not 0 <= self.gae_lambda <= 1:
            raise InputError(f"PPO(gae_lambda={self.gae_lambda}): give 0 <= gae_lambda <= 1.")
        if self.clip_eps <= 0:
            raise InputError(
                f"PPO(clip_eps={self.clip_eps}): every change of the policy would be clipped; give clip_eps > 0."
            )
        length = self.sequence_length
        if length is not None and (length < 1 or self.window % length):
            raise InputError(f"PPO(sequence_length={length}): it does not divide window={self.window}; give a divisor.")
        if self.sequences % self.minibatches:
            raise InputError(
                f"PPO(minibatches={self.minibatches}): it does not divide the {self.sequences} sequences of a rollout; "
                f"give a divisor, or another num_envs."
            )

    @property
    def sequences(self) -> int:
        """The number of sequences in a rollout."""
        return self.num_envs * self.window // (self.sequence_length or self.window)

    def targets(self, rollout: Rollout) -> PPOTargets:
        advantage = jax.vmap(lambda rewards: gae(rewards, value_at(self.gamma), self.gae_lambda))(rollout.rewards)
        steps = rollout.trajectory
        value = advantage + steps.extras.value
        return PPOTargets(steps.action, steps.extras.log_prob, advantage, value, rollout.trajectory.weight)

    def loss(self, output: ActorCriticOutput, target: PPOTargets) -> tuple[Float[Array, ""], dict[str, Tally]]:
        actions = distribution(self.env.action_space, output.policy)
        log_ratio = actions.log_prob(target.action) - target.log_prob
        ratio = jnp.exp(log_ratio)
        clipped = jnp.clip(ratio, 1 - self.clip_eps, 1 + self.clip_eps)
        policy_loss = -jnp.minimum(ratio * target.advantage, clipped * target.advantage)
        value_loss, entropy = (output.value - target.value) ** 2 / 2, actions.entropy()
        terms = {
            "losses/policy_loss": policy_loss,
            "losses/value_loss": value_loss,
            "losses/entropy": entropy,
            "losses/approx_kl": ratio - 1 - log_ratio,
            "losses/clipfrac": (jnp.abs(ratio - 1) > self.clip_eps).astype(ratio.dtype),
        }
        loss = policy_loss + self.value_coef * value_loss - value_at(self.entropy_coef) * entropy
        return target.weight * loss, weighted(terms, target.weight)

    def learn(self, state: AgentState, rollout: Rollout, key: PRNGKeyArray) -> Learned:
        targets = self.targets(rollout)
        carry, window, end = state.carry, rollout.window(targets), None
        if self.sequence_length is not None:
            carry, window, end = cut(self.step, self.estimator, state.network, carry, window, self.sequence_length)

        def minibatch(running, drawn):
            arrays, optimizer, after = running
            network, (chosen, key) = eqx.combine(arrays, static), drawn
            before, part = jax.tree.map(lambda leaf: leaf[chosen], (carry, window))
            advantage = normalise_advantage(part.targets.advantage, part.targets.weight)
            part = Window(part.first, part.inputs, part.targets._replace(advantage=advantage))
            gradient, later, outcome = self.estimator.gradient(self.step, network, before, part, key)
            after = jax.tree.map(lambda whole, part: whole.at[chosen].set(part), after, later)
            network, optimizer = descend(self.optimizer, network, optimizer, gradient, outcome.loss)
            metrics = outcome.metrics | descent_metrics(self.optimizer, gradient, state.updates * self.optimizer_steps)
            return (eqx.filter(network, eqx.is_array), optimizer, after), Outcome(outcome.loss, metrics)

        def epoch(running, key):
            order_key, key = jax.random.split(key)
            order = jax.random.permutation(order_key, self.sequences).reshape(self.minibatches, -1)
            return jax.lax.scan(minibatch, running, (order, jax.random.split(key, self.minibatches)))

        arrays, static = eqx.partition(state.network, eqx.is_array)
        start, keys = (arrays, state.optimizer, carry), jax.random.split(key, self.epochs)
        (arrays, optimizer, after), outcomes = jax.lax.scan(epoch, start, keys)
        metrics = jax.tree.map(jnp.sum, outcomes.metrics) | value_metrics(rollout, targets.value)
        outcome = Outcome(jnp.mean(outcomes.loss), metrics)
        return Learned(eqx.combine(arrays, static), optimizer, after if end is None else end, outcome)

    @property
    def optimizer_steps(self) -> int:
        """The number of optimizer steps in an update."""
        return self.epochs * self.minibatches


def cut(
    step: NetworkStep, estimator: AbstractEstimator, network: Model, carry: Carry, window: Window, length: int
) -> tuple[Carry, Window, Carry]:
    """Cuts a window into sequences of `length` steps.

    **Returns:** `(carry, window, end)`: the carry at the beginning of each sequence, the sequences, and the carry at the
    end of the window.
    """
    batch, steps = window.first.shape
    pieces = jax.tree.map(lambda leaf: leaf.reshape(batch, steps // length, length, *leaf.shape[2:]), window)

    def one(memory, piece):
        piece = time_major(piece)
        return step.unroll(network, memory, piece, jnp.ones(piece.first.shape))[0], memory

    in_turn = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), pieces)
    end, memories = jax.lax.scan(one, carry.state, in_turn)
    memories = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1).reshape(-1, *leaf.shape[2:]), memories)
    pieces = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), pieces)
    return estimator.init(step, network, pieces, memories), pieces, Carry(end, carry.trace)
