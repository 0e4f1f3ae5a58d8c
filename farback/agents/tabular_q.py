"""Tabular Q-learning and SARSA.

References: Watkins, *Learning from delayed rewards*, 1989; Rummery and Niranjan, *On-line Q-learning using connectionist
systems* (SARSA), 1994; Tallec, *Recurrent neural networks and reinforcement learning: dynamic approaches*, 2019, chapter 6.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium.spaces import Discrete
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.acting import EnvStates, Trajectory, reset_envs
from farback.acting.policy import PolicyState
from farback.acting.rollout import act, count, initial_states
from farback.agents.base import AbstractAgent
from farback.agents.exploration import AbstractExploration, EpsilonGreedy, NoExploration
from farback.agents.off_policy import StoredMemory
from farback.agents.q_network import require_discrete
from farback.agents.q_policy import QPolicy
from farback.algorithm import require_positive
from farback.cells import Stateless
from farback.envs.base import AbstractEnv
from farback.envs.check import check_shapes
from farback.network import Network
from farback.ops.random import example_keys
from farback.ops.schedules import LinearSchedule, at_update, check_discount, extremes, value_at
from farback.step import Model
from farback.types import InputError, Outcome, Tally


class QTable(eqx.Module):
    """A table of action values, `[observation, action]`, as the head of a network."""

    values: Float[Array, "observations actions"]

    def __call__(self, observation: Int[Array, ""]) -> Float[Array, "actions 1"]:
        return self.values[observation][:, None]


class QTableNetwork(eqx.Module):
    """Makes a table of action values, initially 0, for `Discrete` observations and actions."""

    def __call__(self, env: AbstractEnv, *, key: PRNGKeyArray) -> Network:
        del key
        seen, actions = env.observation_space, require_discrete(env, "TabularQ")
        if not isinstance(seen, Discrete) or seen.start != 0:
            raise InputError(
                f"TabularQ has a table with a row for each observation, but those of {type(env).__name__} are {seen}, not "
                f"Discrete from 0 on: use an agent with a network, such as DQN."
            )
        table = QTable(jnp.zeros((int(seen.n), int(actions.n))))
        return Network(eqx.nn.Identity(), Stateless(eqx.nn.Identity()), table)


class TabularQState(eqx.Module):
    """The whole state of `TabularQ`; `before` is the last step of each copy, which is learnt next."""

    network: Network
    policy_state: PolicyState
    envs: EnvStates
    before: Trajectory
    key: PRNGKeyArray
    updates: Int[Array, ""]


class TabularQ(AbstractAgent):
    """Q-learning or SARSA with a table: learns the value of each action at each observation, a step at a time.

        Q(o, a) ← Q(o, a) + α (r + γ max_a' Q(o', a') − Q(o, a))      Q-learning
        Q(o, a) ← Q(o, a) + α (r + γ Q(o', a') − Q(o, a))             SARSA; a' is the next action, exploration included

    An update makes `window` steps in each of `num_envs` copies, which share the table; their changes are added. Use it for
    small, fully observed problems and as a reference.

    **Arguments:**

    - `env`: the environment, with Discrete observations and actions, such as Ladder(5).
    - `network`: the table, a `QTableNetwork`.
    - `step_size`: α, how far a value moves towards its target: a number in (0, 1], or a LinearSchedule.
    - `on_policy`: whether to use SARSA instead of Q-learning.
    - `exploration`: how actions differ from the best ones, such as EpsilonGreedy(0.1).
    - `num_envs`: the number of parallel copies of the environment.
    - `window`: the time steps of an update in each copy.
    - `gamma`: the discount γ of rewards: a number, or a LinearSchedule.
    """

    env: AbstractEnv
    network: Callable[..., Model] = QTableNetwork()
    step_size: float | LinearSchedule = 0.1
    on_policy: bool = False
    exploration: AbstractExploration = EpsilonGreedy(0.1)
    num_envs: int = 1
    window: int = 100
    gamma: float | LinearSchedule = 0.99

    def __check_init__(self):
        check_discount(self.gamma)
        require_positive(self, "num_envs", "window")
        if not all(isinstance(number, jax.Array) or 0 < number <= 1 for number in extremes(self.step_size)):
            raise InputError(f"TabularQ(step_size={self.step_size}): give 0 < step_size <= 1.")

    @property
    def steps_per_update(self) -> int:
        return self.num_envs * self.window

    def policy(self, network: Model) -> QPolicy:
        return QPolicy(network, self.env, NoExploration())

    def behaviour(self, network: Model) -> QPolicy:
        """Returns the policy that explores."""
        return QPolicy(network, self.env, self.exploration)

    def timeline_metrics(self, extras: StoredMemory) -> dict[str, Any]:
        return {"charts/value": extras.value}

    def network_in(self, state: TabularQState) -> Model:
        return state.network

    def init(self, key: PRNGKeyArray) -> TabularQState:
        check_shapes(self.env)
        network_key, envs_key, key = jax.random.split(key, 3)
        network = self.network(self.env, key=network_key)
        envs, updates = reset_envs(self.env, self.num_envs, envs_key), jnp.zeros((), int)
        policy = at_update(self, updates).behaviour(network)
        policy_state = initial_states(policy, self.num_envs)
        keys = example_keys(key, self.num_envs)
        shapes = jax.eval_shape(lambda: act(self.env, policy, policy_state, envs.copies, keys, updates).step)
        before = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        before = eqx.tree_at(lambda step: step.last, before, jnp.ones(self.num_envs, bool))  # nothing to learn from
        return TabularQState(network, policy_state, envs, before, key, updates)

    def update(self, state: TabularQState) -> tuple[TabularQState, Outcome]:
        return at_update(self, state.updates)._update(state)

    def _update(self, state: TabularQState) -> tuple[TabularQState, Outcome]:
        key, act_key = jax.random.split(state.key)
        keys = example_keys(act_key, self.num_envs)
        _, static = eqx.partition(state.network, eqx.is_array)

        def one(carried, time):
            table, policy_state, envs, before = carried
            network = eqx.combine(table, static)
            policy_state, copies, step = act(self.env, self.behaviour(network), policy_state, envs.copies, keys, time)
            network, metrics = self._learn(network, before, step)
            envs, statistics = count(envs, copies, step)
            return (eqx.filter(network, eqx.is_array), policy_state, envs, step), metrics | statistics

        begun = eqx.filter(state.network, eqx.is_array), state.policy_state, state.envs, state.before
        (table, policy_state, envs, before), metrics = jax.lax.scan(one, begun, jnp.arange(self.window))
        metrics = jax.tree.map(jnp.sum, metrics)
        squared = metrics.pop("losses/squared_error")
        network = eqx.combine(table, static)
        state = TabularQState(network, policy_state, envs, before, key, state.updates + 1)
        return state, Outcome(squared.total / jnp.maximum(squared.count, 1) / 2, metrics)

    def _learn(self, network: Network, before: Trajectory, step: Trajectory) -> tuple[Network, dict[str, Tally]]:
        """Learns from the step before, of each copy, whose next observation and action are those of `step`."""
        table: Any = network.head
        first = int(require_discrete(self.env, "TabularQ").start)
        values = table.values[step.observation]
        chosen = jnp.take_along_axis(values, (step.action - first)[:, None], axis=1)[:, 0]
        following = chosen if self.on_policy else jnp.max(values, axis=1)
        target = before.reward + value_at(self.gamma) * jnp.where(before.terminated, 0, following)
        at = before.observation, before.action - first
        weight = (~before.last).astype(target.dtype)
        error = weight * (target - table.values[at])
        moved = table.values.at[at].add(value_at(self.step_size) * error)
        terms = {"losses/td_error": jnp.abs(error), "losses/squared_error": error**2, "charts/q_values": table.values[at]}
        metrics = {name: Tally(jnp.sum(weight * term), jnp.sum(weight)) for name, term in terms.items()}
        return eqx.tree_at(lambda network: network.head, network, QTable(moved)), metrics
