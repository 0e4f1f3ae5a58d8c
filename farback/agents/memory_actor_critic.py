"""Deep memory states: an actor-critic whose memory is an action, with credit past the window from the critic.

Reference: Pong, Gu and Levine, *Learning long-term dependencies with deep memory states*, 2017.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from gymnasium.spaces import Box
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from farback.acting import AbstractPolicy, Trajectory
from farback.agents.box_actions import BoxActions
from farback.agents.exploration import AbstractExploration, NoExploration, OrnsteinUhlenbeck
from farback.agents.memory_network import MemoryPolicyQ, WritingCell, Written, memory_size, vector
from farback.agents.off_policy import (
    AbstractOffPolicyAgent,
    ExploringState,
    Improvement,
    Learner,
    StoredMemory,
    as_constant,
    bootstrapped,
    check_off_policy,
    first_memory,
    unrolled,
)
from farback.cell import State, reset
from farback.envs.base import AbstractEnv
from farback.estimators import BPTT, AbstractEstimator
from farback.ops.gradients import scale_gradient
from farback.ops.optimizers import Optimizer, descend_each, descent_metrics, init_each
from farback.ops.schedules import LinearSchedule, value_at
from farback.step import AbstractStep, Metrics, Model
from farback.types import InputError, Number, Outcome, Tally, Window


class MemoryStatePolicy(AbstractPolicy):
    """Acts with a `MemoryPolicyQ`, and explores in the actions and in the writes.

    **Arguments:**

    - `network`: the network.
    - `env`: the environment that defines the action space.
    - `exploration`, `write_exploration`: change the action and the write.
    - `bound`: the write is clipped to [−bound, bound].
    """

    network: MemoryPolicyQ
    env: AbstractEnv
    exploration: AbstractExploration
    write_exploration: AbstractExploration
    bound: Number

    @property
    def write_space(self) -> Box:
        return Box(-math.inf, math.inf, (memory_size(self.network.cell),))

    def initial(self) -> ExploringState:
        explorations = self.exploration.initial(self.env.action_space), self.write_exploration.initial(self.write_space)
        return ExploringState(self.network.cell.initial(), explorations)

    def __call__(
        self, state: ExploringState, observation: Any, first: Any, key: PRNGKeyArray
    ) -> tuple[ExploringState, Any, StoredMemory]:
        network, actions = self.network, BoxActions(self.env, "The policy")
        action_key, write_key = jax.random.split(key)
        memory = reset(network.cell, state.memory, jnp.asarray(first))
        _, step = network.memory(memory, network.encoder(observation))
        explored, action = self.exploration(
            self.env.action_space, state.exploration[0], actions.from_unit(network.act(step)), first, action_key
        )
        write, restore = ravel_pytree(step.write)
        written, write = self.write_exploration(self.write_space, state.exploration[1], write, first, write_key)
        write = jnp.clip(write, -self.bound, self.bound)
        value = network.critic(observation, vector(memory), actions.to_unit(action), write)
        return ExploringState(restore(write), (explored, written)), action, StoredMemory(state.memory, value)


class MemoryTargets(NamedTuple):
    """The targets of a step.

    - `unit`, `memory`, `write`: the action taken, as a vector in [−1, 1], the memory at that time and the write.
    - `value`: y, the target of the critic.
    - `reward`, `discount`: the reward, and γ or, where the episode terminated, 0.
    - `following`: the next observation.
    - `weight`: the weight of the step.
    """

    unit: Float[Array, "*steps actions"]
    memory: State
    write: State
    value: Float[Array, "*steps"]
    reward: Float[Array, "*steps"]
    discount: Float[Array, "*steps"]
    following: Any
    weight: Float[Array, "*steps"]


class MemoryStep(AbstractStep):
    """The step of a `MemoryPolicyQ`.

    **Arguments:**

    - `target`: the slow copy of the model.
    - `q_coef`, `bellman_coef`: those of `MemoryActorCritic`.
    """

    target: MemoryPolicyQ
    q_coef: Number
    bellman_coef: Number

    def encoder(self, model: MemoryPolicyQ) -> PyTree:
        return model.encoder

    def encode(self, model: MemoryPolicyQ, data: Window) -> Any:
        return model.encoder(data.inputs)

    def memory(self, model: MemoryPolicyQ) -> WritingCell:
        return model.memory

    def loss(self, model: MemoryPolicyQ, output: Written, data: Window) -> tuple[Float[Array, ""], Metrics]:
        """Returns the sum of the losses of the critic, of the action and of the write."""
        target, seen = data.targets, data.inputs
        critic = as_constant(model.critic)
        value = model.critic(seen, vector(target.memory), target.unit, vector(target.write))
        memory, write = (scale_gradient(state, self.q_coef) for state in (output.memory, output.write))
        proposed = model.act(output._replace(memory=memory))
        policy_loss = -critic(seen, vector(memory), proposed, vector(write))
        value_loss = (target.value - value) ** 2
        expected = critic(seen, vector(output.memory), target.unit, vector(output.write))
        bellman_error = (self._target(model, output, target) - expected) ** 2
        terms = {"losses/policy_loss": policy_loss, "losses/value_loss": value_loss, "losses/bellman_error": bellman_error}
        loss = value_loss + policy_loss + self.bellman_coef * bellman_error
        terms["charts/q_values"] = value
        active = target.weight
        return active * loss, {name: Tally(active * term, active) for name, term in terms.items()}

    def _target(self, model: MemoryPolicyQ, output: Written, target: MemoryTargets) -> Float[Array, ""]:
        """Returns r + γ Q⁻(o′, w, π(o′, w)) as a constant."""
        _, after = model.memory(output.write, model.encoder(target.following))
        following = self.target.critic(target.following, vector(after.memory), model.act(after), vector(after.write))
        return jax.lax.stop_gradient(target.reward + target.discount * following)


class MemoryActorCritic(AbstractOffPolicyAgent):
    """Deep memory states: a memory that is written as an action, with credit past the end of a window from a critic.

    The policy is (a_t, w_t) = π(o_t, m_t), and m_{t+1} = w_t. The critic learns the value of action and write from a replay
    that holds the memories.

        y_t = r_t + γ Q⁻(o_{t+1}, m_{t+1}, π⁻(o_{t+1}, m_{t+1}))
        critic loss = mean_t (y_t − Q(o_t, m_t, a_t, w_t))²

    The policy is unrolled through windows of `sequence_length` steps from the memory stored before them: a^π, w^π, m^π.
    Credit passes through the window by the estimator. Past its end, it comes from ∂Q/∂w of the last write.

        action loss = −mean_t Q(o_t, m^π_t, a^π_t, w^π_t)
        bellman error = mean_t (r_t + γ Q⁻(o_{t+1}, w^π_t, π(o_{t+1}, w^π_t)) − Q(o_t, m^π_t, a_t, w^π_t))²

    Q is a constant in both. Only its second argument and w^π have a gradient in the Bellman error, which therefore teaches
    the memory to hold what predicts the return. The action head descends the action loss. The cell descends

        write loss = κ · action loss + λ · bellman error

    In the paper κ = 1; in the authors' code for its figures of the 2D target κ = 0. Then the memories w^π, recomputed with
    the new network, replace those of the window in the replay, and the noise in them.

    Use it where a window cannot be as long as the memory must be. Stored memories are those of earlier parameters.

    **Arguments:**

    - `env`: the environment, such as HighLow(25).
    - `network`: the network, a maker `network(env, key=key)` such as a `MemoryActorCriticNetwork`.
    - `estimator`: how credit passes through a window: BPTT(), TBPTT(k) or ARTBP(k).
    - `optimizer`: the optimizer of the critic, such as adam(3e-3). In Python, an optax gradient transformation.
    - `policy_optimizer`: the optimizer of the encoder and of the action head, such as adam(1e-3).
    - `write_optimizer`: the optimizer of the cell, such as adam(5e-4).
    - `q_coef`, `bellman_coef`: κ and λ, the weights of the action loss and of the Bellman error in the loss of the cell.
    - `load_memory`: whether windows begin with the stored memory, instead of that at the beginning of an episode.
    - `exploration`: how actions differ from the policy's, such as OrnsteinUhlenbeck().
    - `write_exploration`: how writes differ from the policy's.
    - `memory_bound`: acting clips writes to ± this bound. The paper has 1.
    - `num_envs`: the number of parallel copies of the environment.
    - `window`: the time steps in each copy between two updates.
    - `buffer_size`: the number of steps in the replay, over all copies.
    - `buffer_on_host`: whether a run keeps the replay in memory-mapped files of the host, for want of room on the device.
    - `batch_size`: the number of windows of a gradient step.
    - `sequence_length`: the time steps of a window.
    - `learning_starts`: the number of steps in the replay, over all copies, before the first gradient step. Until then,
      actions are uniformly random.
    - `gradient_steps`: the number of gradient steps of an update.
    - `gamma`: the discount γ of rewards: a number, or a LinearSchedule.
    - `target_rate`: how far the target moves towards the network, 0 < τ <= 1; 1 copies the network.
    - `target_period`: the gradient steps between two moves of the target.
    - `within_episodes`: whether windows that contain a part of more than one episode are left out, as in the paper.
    """

    env: AbstractEnv
    network: Callable[..., Model]
    estimator: AbstractEstimator = BPTT()
    optimizer: Optimizer = optax.adam(3e-3)
    policy_optimizer: Optimizer = optax.adam(1e-3)
    write_optimizer: Optimizer = optax.adam(5e-4)
    q_coef: float = 1.0
    bellman_coef: float = 10.0
    load_memory: bool = True
    exploration: AbstractExploration = OrnsteinUhlenbeck()
    write_exploration: AbstractExploration = NoExploration()
    memory_bound: float = math.inf
    num_envs: int = 8
    window: int = 8
    buffer_size: int = 100_000
    buffer_on_host: bool = False
    batch_size: int = 32
    sequence_length: int = 16
    learning_starts: int = 1_000
    gradient_steps: int = 8
    gamma: float | LinearSchedule = 0.99
    target_rate: float = 0.01
    target_period: int = 1
    within_episodes: bool = False
    burn_in = 0
    n_step = 1
    prioritized = False
    priority_exponent = 0.0
    importance_exponent = 0.0

    def __check_init__(self):
        check_off_policy(self)
        if not self.memory_bound > 0:
            raise InputError(
                f"MemoryActorCritic(memory_bound={self.memory_bound}): writes are clipped to it; give a positive bound."
            )
        if not (self.q_coef >= 0 and self.bellman_coef >= 0):
            raise InputError(
                f"MemoryActorCritic(q_coef={self.q_coef}, bellman_coef={self.bellman_coef}): give at least 0 for both."
            )

    def policy(self, network: Model) -> MemoryStatePolicy:
        return MemoryStatePolicy(network, self.env, NoExploration(), NoExploration(), self.memory_bound)

    def behaviour(self, network: Model) -> MemoryStatePolicy:
        return MemoryStatePolicy(network, self.env, self.exploration, self.write_exploration, self.memory_bound)

    def timeline_metrics(self, extras: StoredMemory) -> dict[str, Any]:
        return {"charts/value": extras.value}

    def init_optimizer(self, network: Model) -> PyTree:
        return init_each(self._optimizers, _parts(network))

    @property
    def _optimizers(self) -> tuple[Optimizer, Optimizer, Optimizer]:
        return self.optimizer, self.policy_optimizer, self.write_optimizer

    def check_network(self, network: Model) -> None:
        size = BoxActions(self.env, type(self).__name__).size
        if not isinstance(network, MemoryPolicyQ) or network.action_head.layers[-1].out_features != size:
            raise InputError(
                f"{type(network).__name__} is no network of a policy of {size} actions, of its memory and of their critic, "
                f"as MemoryActorCritic needs: make it with MemoryActorCriticNetwork(cell)."
            )

    def improve(
        self, learner: Learner, steps: Trajectory, weight: Float[Array, " batch"], key: PRNGKeyArray
    ) -> Improvement:
        network: Any = learner.network
        learnt: Trajectory = jax.tree.map(lambda leaf: leaf[:, :-1], steps)
        step = MemoryStep(learner.target, self.q_coef, self.bellman_coef)
        targets = self._targets(learner, steps, weight)
        start = first_memory(steps)
        if not self.load_memory:
            start = jax.tree.map(lambda leaf, old: jnp.broadcast_to(leaf, old.shape), network.cell.initial(), start)
        window = Window(learnt.first, learnt.observation, targets)
        carry = self.estimator.init(step, network, window, start)
        gradient, _, outcome = self.estimator.gradient(step, network, carry, window, key)
        metrics = outcome.metrics | descent_metrics(self.optimizer, gradient, learner.gradient_steps)
        learner = self._descend(learner, gradient, outcome)
        written = unrolled(learner.network, start, learnt)[1].write
        error = jnp.zeros_like(targets.value)
        return Improvement(learner, Outcome(outcome.loss, metrics), error, written)

    def _targets(self, learner: Learner, steps: Trajectory, weight: Float[Array, " batch"]) -> MemoryTargets:
        target: Any = learner.target
        actions, gamma = BoxActions(self.env, type(self).__name__), value_at(self.gamma)

        def value(memory, observation):
            _, step = target.memory(memory, target.encoder(observation))
            return target.critic(observation, vector(memory), target.act(step), vector(step.write))

        memory = jax.vmap(jax.vmap(lambda stored, first: reset(target.cell, stored, first)))(steps.extras, steps.first)
        (acted, learnt), (after, following) = (
            jax.tree.map(lambda leaf, at=at: leaf[:, at], (memory, steps)) for at in (slice(-1), slice(1, None))
        )
        values = jax.vmap(jax.vmap(value))(after, following.observation)
        values = jnp.pad(values, ((0, 0), (1, 0)))  # no target bootstraps from the first step of a window
        return MemoryTargets(
            unit=jax.vmap(jax.vmap(actions.to_unit))(learnt.action),
            memory=acted,
            write=following.extras,
            value=bootstrapped(steps, values[..., None], gamma, self.n_step)[..., 0],
            reward=learnt.reward,
            discount=gamma * (~learnt.terminated).astype(learnt.reward.dtype),
            following=following.observation,
            weight=learnt.weight * weight[:, None],
        )

    def _descend(self, learner: Learner, gradient: Any, outcome: Outcome) -> Learner:
        parts = _parts(learner.network), learner.optimizer, _parts(gradient)
        (critic, (encoder, head), cell), states = descend_each(self._optimizers, *parts, outcome.loss)
        network = MemoryPolicyQ(encoder, cell, head, critic)
        return Learner(network, learner.target, states, learner.gradient_steps)


def _parts(network: Any) -> tuple[Any, Any, Any]:
    """Returns the parts that the optimizers of the critic, of the policy and of the write train."""
    return network.critic, (network.encoder, network.action_head), network.cell
