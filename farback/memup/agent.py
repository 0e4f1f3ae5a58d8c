"""An agent whose memory MemUP trains, in alternation with its policy."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray

from farback.acting import AbstractPolicy
from farback.agents import PPO, AbstractAgent, AbstractOnPolicyAgent, AgentState
from farback.algorithm import require_positive
from farback.cell import AbstractCell, output_size
from farback.cells import SkipConcat
from farback.encoders import features_size
from farback.envs.base import AbstractEnv
from farback.envs.spaces import HashableSpace
from farback.estimators import BPTT, AbstractEstimator
from farback.memup.algorithm import MemUP, MemUPState
from farback.memup.detectors import AbstractDetector
from farback.memup.env_episodes import PolicyEpisodes
from farback.memup.memory_reader import Detached, memory_reader
from farback.memup.prediction_error_detector import PredictionErrorDetector
from farback.memup.predictor import MemoryPredictor, PredictionHead, no_context, query_size
from farback.memup.selectors import AbstractTargetSelector, TopK
from farback.ops.optimizers import Optimizer
from farback.step import Metrics, Model
from farback.types import InputError, Outcome


class MemUPAgentState(NamedTuple):
    """The state of the on-policy agent, and the state of the memory's training."""

    agent: AgentState
    memory: MemUPState


class MemUPAgent(AbstractAgent):
    """MemUP with a policy: an on-policy agent trains the policy, and MemUP trains the memory, in alternation.

    The agent learns from each rollout. Then MemUP makes `passes` passes through fresh episodes of the current
    policy. The policy reads the memory through one `SkipConcat`, as in `Chain(SkipConcat(LSTM(64)), MLP(64))` with
    `shared_memory`. It reads a slow copy of the memory that MemUP trains,

        θ̄ ← d θ̄ + (1 − d) θ      after each rollout

    so that its input changes slowly. With `SkipConcat(..., stop_gradient=False)` there is one memory, which the agent and
    MemUP both train, and d has no effect.

    The encoder learns from the policy and the value, and not from MemUP, so it may lose features that only the memory
    needs. Prefer an encoder without parameters, such as `Flatten`, or a pretrained one.

    MemUP has the agent's estimator and optimizer, with a separate optimizer state. For the memory, a learning-rate schedule
    counts the memory's updates, one per window of a pass. `total_steps` counts only the steps of rollouts.

    **Arguments:**

    - `env`: the environment, such as TMaze(100).
    - `network`: the network, a maker `network(env, key=key)` such as an `ActorCriticNetwork`.
    - `estimator`: how credit passes through time, such as BPTT() or RTRL().
    - `optimizer`: the optimizer, such as adam(3e-3). In Python, an optax gradient transformation.
    - `num_envs`: the number of parallel copies of the environment.
    - `window`: the time steps of a rollout in each copy, between two updates.
    - `agent`: the algorithm that trains the policy, such as PPO(epochs=2). In Python, its class, or a
      `functools.partial` of it.
    - `selector`: how the later steps to predict are selected, such as TopK(2) or RandomK(2).
    - `detector`: how surprise is scored, such as PredictionErrorDetector(0.995) or QuantileSpreadDetector().
    - `memory_window`: the time steps of an episode between two optimizer steps of the memory.
    - `passes`: the number of MemUP passes after each rollout.
    - `batch_size`: the number of episodes in a pass.
    - `decay`: the decay d of the memory that the policy reads, from 0 to below 1.
    - `episode_steps`: the steps after which an episode of a pass is cut off. By default, the environment's longest episode.
    - `gamma`: the discount γ of the returns that the memory predicts.

    Reference: Sorokin et al., *Explain my surprise*, NeurIPS 2022, whose code trains memory and policy in this way, with
    d = 0.9.
    """

    env: AbstractEnv
    network: Callable[..., Model]
    estimator: AbstractEstimator = BPTT()
    optimizer: Optimizer = optax.adam(3e-3)
    num_envs: int = 16
    window: int = 64
    agent: Callable[..., AbstractOnPolicyAgent] = PPO
    selector: AbstractTargetSelector = TopK()
    detector: AbstractDetector = PredictionErrorDetector()
    memory_window: int = 1
    passes: int = 1
    batch_size: int = 32
    decay: float = 0.9
    episode_steps: int | None = None
    gamma: float = 0.0

    def __check_init__(self):
        require_positive(self, "num_envs", "window", "memory_window", "passes", "batch_size")
        if not 0 <= self.decay < 1:
            raise InputError(
                f"MemUPAgent(decay={self.decay}): with 1 the policy's memory never changes; give 0 <= decay < 1."
            )
        self.actor()

    def actor(self) -> AbstractOnPolicyAgent:
        """The on-policy agent that trains the policy."""
        return self.agent(
            env=self.env,
            network=self.network,
            estimator=self.estimator,
            optimizer=self.optimizer,
            num_envs=self.num_envs,
            window=self.window,
        )

    def memup(self, network: Model) -> MemUP:
        """The algorithm that trains the memory, on episodes of a network's policy."""
        episodes = PolicyEpisodes(self.env, self.policy(network), self.episode_steps, self.gamma)
        return MemUP(
            episodes,
            _refuse_to_make,
            self.estimator,
            self.optimizer,
            self.batch_size,
            self.memory_window,
            self.selector,
            detector=self.detector,
        )

    @property
    def steps_per_update(self) -> int:
        return self.num_envs * self.window

    def policy(self, network: Model) -> AbstractPolicy:
        return self.actor().policy(network)

    def timeline_metrics(self, extras: Any) -> dict[str, Any]:
        return self.actor().timeline_metrics(extras)

    def network_in(self, state: MemUPAgentState) -> Model:
        return state.agent.network

    def init(self, key: PRNGKeyArray) -> MemUPAgentState:
        agent_key, head_key, memory_key = jax.random.split(key, 3)
        state = self.actor().init(agent_key)
        reader, memup = memory_reader(state.network), self.memup(state.network)
        encoder = Detached(state.network.encoder)
        features, actions = features_size(encoder, self.env.observation_space), self.env.action_space
        size = output_size(reader.memory, features)
        head = PredictionHead(size, 0, query_size(features, actions), size, memup.data.output_size, key=head_key)
        predictor = MemoryPredictor(encoder, reader.memory, head, no_context(), HashableSpace(actions))
        return MemUPAgentState(state, memup.begin(predictor, memory_key))

    def update(self, state: MemUPAgentState) -> tuple[MemUPAgentState, Outcome]:
        agent, outcome = self.actor().update(state.agent)
        memory, metrics = self.train_memory(agent.network, state.memory)
        slow = self._averaged(memory_reader(agent.network), memory.network.memory)
        network = eqx.tree_at(lambda network: memory_reader(network).memory, agent.network, slow)
        agent = dataclasses.replace(agent, network=network)
        return MemUPAgentState(agent, memory), Outcome(outcome.loss, outcome.metrics | metrics)

    def train_memory(self, network: Model, memory: MemUPState) -> tuple[MemUPState, Metrics]:
        """Returns `(memory, metrics)`: the state of the memory's training after its passes, and their metrics."""
        encoder, reader = Detached(network.encoder), memory_reader(network)
        memory = eqx.tree_at(lambda memory: memory.network.encoder, memory, encoder)
        if not reader.stop_gradient:
            memory = eqx.tree_at(lambda memory: memory.network.memory, memory, reader.memory)
        memup = self.memup(network)
        arrays, static = eqx.partition(memory, eqx.is_array)

        def one(arrays, _):
            memory, outcome = memup.update(eqx.combine(arrays, static))
            memory = eqx.tree_at(lambda memory: memory.network.encoder, memory, encoder)  # weight decay would shrink it
            return eqx.filter(memory, eqx.is_array), outcome.metrics

        arrays, metrics = jax.lax.scan(one, arrays, None, self.passes)
        own = {name: tally for name, tally in jax.tree.map(jnp.sum, metrics).items() if name not in SHARED_METRICS}
        return eqx.combine(arrays, static), own

    def _averaged(self, reader: SkipConcat, trained: AbstractCell) -> AbstractCell:
        """The memory that the policy reads after a pass."""
        if not reader.stop_gradient:
            return trained
        return jax.tree.map(
            lambda old, new: self.decay * old + (1 - self.decay) * new if eqx.is_inexact_array(old) else old,
            reader.memory,
            trained,
        )


SHARED_METRICS = ("losses/grad_norm", "charts/learning_rate")
"""Metrics that both algorithms have. The agent's are logged."""


def _refuse_to_make(data: Any, *, key: PRNGKeyArray) -> MemoryPredictor:
    """Stands in for a maker: the network of the memory's training is part of the agent's network."""
    raise InputError("MemUPAgent makes the network of its memory: call begin(network, key).")
