"""The base of on-policy agents: collect a rollout, learn from it, and collect the next one from where it ended."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from farback.acting import EnvStates, Trajectory, reset_envs, rollout
from farback.acting.policy import PolicyState
from farback.acting.rollout import act
from farback.agents.actor_critic_policy import ActorCriticPolicy, SampledAction, check_network
from farback.agents.base import AbstractAgent
from farback.envs.check import check_shapes
from farback.estimators import AbstractEstimator
from farback.heads import ActorCriticOutput
from farback.network import NetworkStep, observed
from farback.ops.optimizers import Optimizer
from farback.ops.random import example_keys
from farback.ops.returns import RewardSequence, explained_variance
from farback.ops.schedules import at_update
from farback.step import Model
from farback.types import Carry, Outcome, Tally, Window


class AgentState(eqx.Module):
    """The whole state of an agent. Training that resumes from it continues bit for bit."""

    network: Model
    optimizer: PyTree
    carry: Carry
    envs: EnvStates
    key: PRNGKeyArray
    updates: Int[Array, ""]


class Rollout(eqx.Module):
    """The steps of a rollout, and the value of the observation after its last step."""

    trajectory: Trajectory
    bootstrap_value: Float[Array, " batch"]

    @property
    def rewards(self) -> RewardSequence:
        """The rewards, ends and values of each sequence, from which returns and advantages are computed."""
        steps = self.trajectory
        value = jnp.concatenate([steps.extras.value, self.bootstrap_value[:, None]], axis=1)
        return RewardSequence(steps.reward, steps.terminated, steps.ended, value)

    def window(self, targets: PyTree) -> Window:
        """The steps as a window with the given targets."""
        return Window(self.trajectory.first, self.trajectory.observation, targets)


class Learned(NamedTuple):
    """The result of learning from a rollout: the network and the optimizer's state after it, the carry, the outcome."""

    network: Model
    optimizer: PyTree
    carry: Carry
    outcome: Outcome


class AbstractOnPolicyAgent(AbstractAgent):
    """Runs `num_envs` copies of an environment for `window` steps, learns from this rollout, and continues from its end.

    The network's output is `(policy, value)`. An estimator passes credit through time; one rollout is one window.
    Truncated backpropagation divides the window into pieces. Forward estimators carry their traces, and the memory, from
    one rollout to the next.

    Within a rollout the parameters are constant, so the estimator's guarantees hold. The memory at the beginning of a
    rollout, and its trace, are stale: earlier parameters computed them.
    """

    network: eqx.AbstractVar[Callable[..., Model]]
    estimator: eqx.AbstractVar[AbstractEstimator]
    optimizer: eqx.AbstractVar[Optimizer]
    num_envs: eqx.AbstractVar[int]
    window: eqx.AbstractVar[int]

    @abstractmethod
    def targets(self, rollout: Rollout) -> PyTree:
        """Returns the targets of the loss for the steps of a rollout."""

    @abstractmethod
    def loss(self, output: ActorCriticOutput, target: Any) -> tuple[Float[Array, ""], dict[str, Tally]]:
        """Returns `(loss, metrics)` of one step."""

    @abstractmethod
    def learn(self, state: AgentState, rollout: Rollout, key: PRNGKeyArray) -> Learned:
        """Learns from one rollout."""

    @property
    def step(self) -> NetworkStep:
        return NetworkStep(self.loss)

    @property
    def steps_per_update(self) -> int:
        return self.num_envs * self.window

    def policy(self, network: Model, greedy: bool = False) -> ActorCriticPolicy:
        return ActorCriticPolicy(network, self.env, greedy)

    def timeline_metrics(self, extras: SampledAction) -> dict[str, Any]:
        return {"charts/value": extras.value}

    def network_in(self, state: AgentState) -> Model:
        return state.network

    def init(self, key: PRNGKeyArray) -> AgentState:
        network_key, key = jax.random.split(key)
        check_shapes(self.env)
        return self.begin(self.network(self.env, key=network_key), key)

    def begin(self, network: Model, key: PRNGKeyArray) -> AgentState:
        """Returns the state before the first update, with a network of your own."""
        check_network(network, self.env)
        envs_key, key = jax.random.split(key)
        envs = reset_envs(self.env, self.num_envs, envs_key)
        updates = jnp.zeros((), int)
        agent = at_update(self, updates)
        shapes = jax.eval_shape(lambda: agent._first_window(network, envs))
        window = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        carry = self.estimator.init(agent.step, network, window)
        optimizer = self.optimizer.init(eqx.filter(network, eqx.is_inexact_array))
        return AgentState(network, optimizer, carry, envs, key, updates)

    def update(self, state: AgentState) -> tuple[AgentState, Outcome]:
        key, act_key, learn_key = jax.random.split(state.key, 3)
        policy = self.policy(state.network)
        memory, envs, trajectory, statistics = rollout(
            self.env, policy, state.carry.state, state.envs, act_key, self.window
        )
        data = Rollout(trajectory, bootstrap_value(policy, memory, envs))
        learned = at_update(self, state.updates).learn(state, data, learn_key)
        metrics = learned.outcome.metrics | statistics
        network = observed(learned.network, trajectory.observation)
        state = AgentState(network, learned.optimizer, learned.carry, envs, key, state.updates + 1)
        return state, Outcome(learned.outcome.loss, metrics)

    def _first_window(self, network, envs):
        """A window of one step, which gives the shapes of an estimator's carry."""
        policy, keys = self.policy(network), example_keys(jax.random.key(0), self.num_envs)
        step = act(self.env, policy, self.step.initial(network, self.num_envs), envs.copies, keys, jnp.zeros((), int)).step
        data = Rollout(jax.tree.map(lambda leaf: leaf[:, None], step), envs.episode_return)
        return data.window(self.targets(data))


def bootstrap_value(policy: ActorCriticPolicy, memory: PolicyState, envs: EnvStates) -> Float[Array, " batch"]:
    """Returns the values of the current observations, which follow the last step of a rollout."""

    def one(memory, copy):
        return policy.outputs(memory, policy.env.observe(copy.state), copy.first)[1].value

    return jax.vmap(one)(memory, envs.copies)


def weighted(terms: dict[str, Any], weight: Any) -> dict[str, Tally]:
    """Returns the terms of a step's loss as metrics: means over the weighted steps."""
    return {name: Tally(weight * term, weight) for name, term in terms.items()}


def value_metrics(rollout: Rollout, target: Float[Array, "batch time"]) -> dict[str, Tally]:
    """Returns the share of the variance of the value targets that the values explain."""
    explained = explained_variance(target, rollout.trajectory.extras.value, rollout.trajectory.weight)
    known = jnp.isfinite(explained)
    return {"losses/explained_variance": Tally(jnp.where(known, explained, 0), known.astype(explained.dtype))}
