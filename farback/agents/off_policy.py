"""The base of off-policy agents: act, keep the steps in a replay, and learn from windows of it."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from farback.acting import EnvStates, Trajectory, reset_envs, rollout
from farback.acting.policy import AbstractPolicy, PolicyState
from farback.acting.rollout import act, initial_states
from farback.agents.base import AbstractAgent
from farback.algorithm import require_positive
from farback.cell import State, unroll
from farback.envs.base import AbstractEnv
from farback.envs.check import check_shapes
from farback.envs.spaces import sample
from farback.estimators import ARTBP, BPTT, TBPTT, AbstractEstimator
from farback.network import Network, observed
from farback.ops.random import example_keys
from farback.ops.returns import RewardSequence, n_step
from farback.ops.schedules import LinearSchedule, at_update, check_discount, value_at
from farback.replay import PrioritizedReplay, Replay, WindowIndices, device_bytes, importance_weights, replay_bytes
from farback.step import Model
from farback.types import InputError, Number, Outcome, Tally

SMALLEST_ERROR = 1e-6
"""Added to the errors that priorities are powers of, so that every window can be drawn again."""


class Learner(eqx.Module):
    """What is learnt: the network, its slow copy, the optimizer's state, and the number of gradient steps done."""

    network: Model
    target: Model
    optimizer: PyTree
    gradient_steps: Int[Array, ""]


class OffPolicyState(eqx.Module):
    """The whole state of an off-policy agent, its replay included. Training that resumes from it continues bit for bit."""

    learner: Learner
    policy_state: PolicyState
    envs: EnvStates
    replay: Replay | PrioritizedReplay
    key: PRNGKeyArray
    updates: Int[Array, ""]


class ExploringState(NamedTuple):
    """The state of a policy that explores: that of the memory, and that of the exploration."""

    memory: State
    exploration: Any


class StoredMemory(NamedTuple):
    """The extras of a policy that explores: the memory before the step, and the value of the action of the policy."""

    memory: State
    value: Float[Array, "*batch"]


class RandomStart(AbstractPolicy):
    """Takes uniformly random actions instead of those of a policy, whose memory runs on.

    **Arguments:**

    - `policy`: the policy.
    - `env`: the environment that defines the action space.
    - `random`: whether actions are random.
    """

    policy: AbstractPolicy
    env: AbstractEnv
    random: Bool[Array, ""]

    def initial(self) -> PolicyState:
        return self.policy.initial()

    def __call__(self, state: PolicyState, observation: Any, first: Any, key: PRNGKeyArray) -> tuple[PolicyState, Any, Any]:
        policy_key, sample_key = jax.random.split(key)
        state, action, extras = self.policy(state, observation, first, policy_key)
        drawn = sample(self.env.action_space, sample_key)
        return state, jax.tree.map(lambda new, old: jnp.where(self.random, new, old), drawn, action), extras


class Improvement(NamedTuple):
    """The result of one gradient step.

    - `learner`: the learner after it.
    - `outcome`: the outcome.
    - `error`: |δ| of each learnt step.
    - `memory`: the memories before the second to the last step of each window, which replace the stored ones; `None` leaves
      them as they are.
    """

    learner: Learner
    outcome: Outcome
    error: Float[Array, "batch time"]
    memory: State | None = None


class AbstractOffPolicyAgent(AbstractAgent):
    """Acts for `window` steps in `num_envs` copies of an environment, adds them to a replay, and makes `gradient_steps`
    gradient steps, each on `batch_size` windows drawn from the replay. Before the first gradient step, actions are
    uniformly random.

    The replay holds each step with the memory that the agent had before it. A window of

        burn_in + sequence_length + n_step

    steps begins with the stored memory. The memories of the network and of its target are recomputed over the `burn_in`
    steps without a gradient; the next `sequence_length` steps are learnt, credit passing through them by the estimator;
    and the last `n_step` steps serve the targets. The stored memory is stale: earlier parameters computed it.
    """

    network: eqx.AbstractVar[Callable[..., Model]]
    estimator: eqx.AbstractVar[AbstractEstimator]
    num_envs: eqx.AbstractVar[int]
    window: eqx.AbstractVar[int]
    buffer_size: eqx.AbstractVar[int]
    buffer_on_host: eqx.AbstractVar[bool]
    batch_size: eqx.AbstractVar[int]
    sequence_length: eqx.AbstractVar[int]
    burn_in: eqx.AbstractVar[int]
    n_step: eqx.AbstractVar[int]
    learning_starts: eqx.AbstractVar[int]
    gradient_steps: eqx.AbstractVar[int]
    gamma: eqx.AbstractVar[float | LinearSchedule]
    target_rate: eqx.AbstractVar[float]
    target_period: eqx.AbstractVar[int]
    within_episodes: eqx.AbstractVar[bool]
    prioritized: eqx.AbstractVar[bool]
    priority_exponent: eqx.AbstractVar[float]
    importance_exponent: eqx.AbstractVar[float | LinearSchedule]

    @abstractmethod
    def behaviour(self, network: Model) -> AbstractPolicy:
        """Returns the policy that explores. Its extras have the memory before the step as `memory`."""

    @abstractmethod
    def check_network(self, network: Model) -> None:
        """Refuses a network that does not fit the agent or its environment."""

    @abstractmethod
    def init_optimizer(self, network: Model) -> PyTree:
        """Returns the state of the optimizers."""

    @abstractmethod
    def improve(
        self, learner: Learner, steps: Trajectory, weight: Float[Array, " batch"], key: PRNGKeyArray
    ) -> Improvement:
        """Makes one gradient step.

        **Arguments:**

        - `steps`: windows of the replay; the extras are the memories before each step.
        - `weight`: the weight of each window in the loss.
        """

    @property
    def steps_per_update(self) -> int:
        return self.num_envs * self.window

    @property
    def vectorize_seeds(self) -> bool:
        return not self.buffer_on_host  # a batch axis has no calls of the host in order

    @property
    def on_host(self) -> Callable[[OffPolicyState], PyTree[Array]] | None:
        return (lambda state: _ring(state.replay).steps) if self.buffer_on_host else None

    @property
    def window_length(self) -> int:
        """The number of steps of a window that is drawn from the replay."""
        return self.burn_in + self.sequence_length + self.n_step

    @property
    def capacity(self) -> int:
        """The number of steps of each copy that the replay has room for."""
        return self.buffer_size // self.num_envs

    def after_burn_in(self, network: Model, steps: Trajectory, data: PyTree[Array]) -> tuple[State, Any]:
        """Returns `(memory, data)`: the memory after the burn-in of windows, and the part of some data that is learnt.

        **Arguments:**

        - `data`: arrays with leading axes `[batch, time]`, from the first step of each window on.
        """
        memory, begin, end = first_memory(steps), self.burn_in, self.burn_in + self.sequence_length
        if begin:
            memory, _ = unrolled(network, memory, jax.tree.map(lambda leaf: leaf[:, :begin], steps))
        return memory, jax.tree.map(lambda leaf: leaf[:, begin:end], data)

    def network_in(self, state: OffPolicyState) -> Model:
        return state.learner.network

    def init(self, key: PRNGKeyArray) -> OffPolicyState:
        network_key, key = jax.random.split(key)
        check_shapes(self.env)
        return self.begin(self.network(self.env, key=network_key), key)

    def begin(self, network: Model, key: PRNGKeyArray) -> OffPolicyState:
        """Returns the state before the first update, with a network of your own."""
        self.check_network(network)
        envs_key, key = jax.random.split(key)
        envs, updates = reset_envs(self.env, self.num_envs, envs_key), jnp.zeros((), int)
        policy = at_update(self, updates).behaviour(network)
        policy_state = initial_states(policy, self.num_envs)
        keys = example_keys(jax.random.key(0), self.num_envs)
        acted = jax.eval_shape(lambda: act(self.env, policy, policy_state, envs.copies, keys, updates))
        example = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), stored(acted.step))
        learner = Learner(network, network, self.init_optimizer(network), updates)
        return OffPolicyState(learner, policy_state, envs, self._empty_replay(example), key, updates)

    def update(self, state: OffPolicyState) -> tuple[OffPolicyState, Outcome]:
        return at_update(self, state.updates)._update(state)

    def _update(self, state: OffPolicyState) -> tuple[OffPolicyState, Outcome]:
        key, act_key, learn_key = jax.random.split(state.key, 3)
        learner, replay, outcome = self._learn(state.learner, state.replay, learn_key)
        policy = RandomStart(self.behaviour(learner.network), self.env, ~self._ready(replay))
        policy_state, envs, steps, statistics = rollout(
            self.env, policy, state.policy_state, state.envs, act_key, self.window
        )
        replay = replay.add(stored(steps), after=outcome.loss)
        both = observed((learner.network, learner.target), steps.observation)
        learner = eqx.tree_at(lambda learner: (learner.network, learner.target), learner, both)
        state = OffPolicyState(learner, policy_state, envs, replay, key, state.updates + 1)
        return state, Outcome(outcome.loss, outcome.metrics | statistics)

    def _learn(self, learner: Learner, replay: Any, key: PRNGKeyArray) -> tuple[Learner, Any, Outcome]:
        """Makes the gradient steps, or none as long as the replay has too few steps."""
        arrays, static = eqx.partition((learner, replay), eqx.is_array)

        def one(arrays, key):
            learner, replay = eqx.combine(arrays, static)
            learner, replay, outcome = self._gradient_step(learner, replay, key)
            return eqx.filter((learner, replay), eqx.is_array), outcome

        arrays, outcomes = jax.lax.scan(one, arrays, jax.random.split(key, self.gradient_steps))
        return *eqx.combine(arrays, static), jax.tree.map(jnp.sum, outcomes)

    def _gradient_step(self, learner: Learner, replay: Any, key: PRNGKeyArray) -> tuple[Learner, Any, Outcome]:
        draw_key, improve_key = jax.random.split(key)
        ready, (dynamic, static) = self._ready(replay), eqx.partition(learner, eqx.is_array)
        indices, steps, weight = self._draw(replay, draw_key)

        def learn(dynamic):
            improved = self.improve(eqx.combine(dynamic, static), steps, weight, improve_key)
            return eqx.filter(self._move_target(improved.learner), eqx.is_array), *improved[1:]

        # Only the learner is chosen between: under `jax.vmap`, a choice between replays would copy them.
        shapes = jax.eval_shape(learn, dynamic)[1:]
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        dynamic, outcome, error, memory = jax.lax.cond(ready, learn, lambda dynamic: (dynamic, *nothing), dynamic)
        if self.prioritized:
            error = 0.9 * jnp.max(error, axis=1) + 0.1 * jnp.mean(error, axis=1) + SMALLEST_ERROR
            replay = replay.set_priorities(indices, error**self.priority_exponent, ready)
        if memory is not None:
            following = indices._replace(start=indices.start + 1)
            ring = _ring(replay).write(following, memory, lambda steps: steps.extras, ready)
            replay = eqx.tree_at(_ring, replay, ring)
        count = ready.astype(outcome.loss.dtype)
        metrics = outcome.metrics | {"losses/loss": Tally(count * outcome.loss, count)}
        return eqx.combine(dynamic, static), replay, Outcome(outcome.loss, metrics)

    def _draw(self, replay: Any, key: PRNGKeyArray) -> tuple[WindowIndices, Trajectory, Float[Array, " batch"]]:
        """Draws windows of the replay. Returns `(indices, steps, weight)`, with the weight of each window in the loss."""
        if isinstance(replay, Replay):
            return *replay.sample(key, self.batch_size, self.window_length), jnp.ones(self.batch_size)
        indices, steps, probability = replay.sample(key, self.batch_size)
        if not self.prioritized:
            return indices, steps, jnp.ones(self.batch_size)
        windows = replay.replay.slots * replay.replay.starts(self.window_length)
        return indices, steps, importance_weights(probability, windows, value_at(self.importance_exponent))

    def _move_target(self, learner: Learner) -> Learner:
        """Moves the target: θ⁻ ← (1 − τ) θ⁻ + τ θ, at every `target_period`-th gradient step."""
        count = learner.gradient_steps + 1
        rate = jnp.where(count % self.target_period == 0, self.target_rate, 0.0)
        ours, theirs = eqx.filter((learner.network, learner.target), eqx.is_inexact_array)
        moved = jax.tree.map(lambda new, old: ((1 - rate) * old + rate * new).astype(old.dtype), ours, theirs)
        return Learner(learner.network, eqx.combine(moved, learner.target), learner.optimizer, count)

    def _ready(self, replay: Replay | PrioritizedReplay) -> Bool[Array, ""]:
        ring = _ring(replay)
        found = ring.starts(self.window_length) if isinstance(replay, Replay) else replay.tree.total
        return (found > 0) & (self.num_envs * ring.size >= self.learning_starts)

    def _empty_replay(self, example: PyTree) -> Replay | PrioritizedReplay:
        size = replay_bytes(example, self.num_envs, self.capacity)
        if not self.buffer_on_host and size > (available := device_bytes()):
            raise InputError(
                f"{type(self).__name__}(buffer_size={self.buffer_size}): the replay would take {size:,} bytes, and the "
                f"device has {available:,} bytes of memory. Give a smaller buffer_size, or buffer_on_host=True."
            )
        if self.prioritized or self.within_episodes:
            first = _first if self.within_episodes else None
            return PrioritizedReplay.empty(example, self.num_envs, self.capacity, self.window_length, first)
        return Replay.empty(example, self.num_envs, self.capacity)


def _ring(replay: Any) -> Replay:
    return replay if isinstance(replay, Replay) else replay.replay


def _first(steps: Trajectory) -> Any:
    return steps.first


def stored(steps: Trajectory) -> Trajectory:
    """Returns the steps as the replay holds them: with the memory before each step as their extras."""
    return eqx.tree_at(lambda steps: steps.extras, steps, steps.extras.memory)


def check_off_policy(agent: AbstractOffPolicyAgent) -> None:
    """Refuses arguments that all off-policy agents have in common."""
    name = type(agent).__name__
    check_discount(agent.gamma)
    positive = ("num_envs", "window", "batch_size", "sequence_length", "n_step", "gradient_steps", "target_period")
    require_positive(agent, *positive)
    if agent.burn_in < 0:
        raise InputError(f"{name}(burn_in={agent.burn_in}): give burn_in >= 0.")
    if not isinstance(agent.estimator, BPTT | TBPTT | ARTBP):
        raise InputError(
            f"{name}(estimator={agent.estimator}): windows of a replay are not consecutive, so a forward estimator has no "
            f"trace to carry from one to the next; give BPTT(), TBPTT(k) or ARTBP(k)."
        )
    if not isinstance(agent.target_rate, jax.Array) and not 0 < agent.target_rate <= 1:
        raise InputError(
            f"{name}(target_rate={agent.target_rate}): give 0 < target_rate <= 1; 1 copies the network to its target."
        )
    length = agent.window_length
    if agent.capacity < max(length, agent.window):
        raise InputError(
            f"{name}(buffer_size={agent.buffer_size}): that is {agent.capacity} steps for each of {agent.num_envs} copies, "
            f"but a window has {max(length, agent.window)} steps; give at least "
            f"{agent.num_envs * max(length, agent.window):,}."
        )
    longest = agent.episode_length
    if agent.within_episodes and longest is not None and length > longest:
        raise InputError(
            f"{name}(within_episodes=True): a window has {length} steps, but an episode of {type(agent.env).__name__} has "
            f"at most {longest}, its last observation included; give a shorter sequence_length."
        )
    windows = agent.num_envs * (agent.capacity - length + 1)
    if windows < agent.batch_size:
        raise InputError(
            f"{name}(batch_size={agent.batch_size}): the replay has room for {windows} windows of {length} steps; give a "
            f"smaller batch_size, or a larger buffer_size."
        )
    if not agent.num_envs * length <= agent.learning_starts <= agent.num_envs * agent.capacity:
        raise InputError(
            f"{name}(learning_starts={agent.learning_starts}): a window has {length} steps, and the replay holds "
            f"{agent.num_envs * agent.capacity:,}, of {agent.num_envs} copies; give {agent.num_envs * length:,} to "
            f"{agent.num_envs * agent.capacity:,}."
        )


def outputs(network: Network, memory: State, steps: Trajectory) -> Any:
    """Returns the outputs of a network over windows from a memory; leading axes `[batch, time]`."""
    return jax.vmap(jax.vmap(network.head))(unrolled(network, memory, steps)[1])


def as_constant(model: Model) -> Model:
    """The model, whose parameters get no gradient."""
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(parameters), rest)


def unrolled(network: Model, memory: State, steps: Trajectory) -> tuple[State, Any]:
    """Returns `(memory, outputs)`: the memory after windows, and its outputs in them, leading axes `[batch, time]`."""
    features = jax.vmap(jax.vmap(network.encoder))(steps.observation)
    first, features = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), (steps.first, features))
    memory, found = unroll(network.memory, memory, first, features, jnp.ones(first.shape))
    return memory, jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), found)


def first_memory(steps: Trajectory) -> State:
    """Returns the stored memories before the first steps of windows."""
    return jax.tree.map(lambda leaf: leaf[:, 0], steps.extras)


def bootstrapped(
    steps: Trajectory, value: Float[Array, "batch time samples"], gamma: Number, count: int
) -> Float[Array, "batch time-1 samples"]:
    """Returns n-step returns of windows, for each of several samples of the values:

        r_t + … + γ^{n−1} r_{t+n−1} + γⁿ V_{t+n},      n = count

    They end at the end of an episode or of the window, and bootstrap from the value there unless the episode terminated.
    """

    def one(reward, terminated, ended, value):
        sequence = RewardSequence(reward[:-1], terminated[:-1], ended[:-1], value)
        return n_step(sequence, gamma, count) + value[:-1]

    over_samples = jax.vmap(one, in_axes=(None, None, None, 1), out_axes=1)
    return jax.vmap(over_samples)(steps.reward, steps.terminated, steps.ended, value)
