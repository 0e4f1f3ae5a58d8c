"""Acting and remembering, each learnt in its own way, in turn."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from engram.agents.acting import Playing
from engram.agents.base import AbstractAgent, Acting, Played
from engram.agents.play import AgentPlay
from engram.cell import AbstractCell, output_size
from engram.cells import Alongside, Foresight, Head
from engram.envs import AbstractEnv
from engram.estimators import AbstractEstimator
from engram.memup import Foreseeing, MemUP
from engram.objectives import AbstractChoice, AbstractDetector, Slow, Surprising
from engram.step import Model
from engram.types import Carry, InputError, Outcome, Tally


class Both(NamedTuple):
    """The state of the agent's optimiser, and all of what trains the memory."""

    agent: PyTree
    memory: Foreseeing


class Alternating(AbstractAgent):
    """Learns to act by an agent, and to remember by `MemUP`: after each rollout the agent learns from it, and then the
    memory goes through fresh episodes that are played as the agent plays now.

    The agent's model reads the memory through one `Alongside`, such as `Chain(Alongside(LSTM(64)), Perceptron(64))` that
    policy and value share. What is read there follows the memory that is trained, θ̄ ← d θ̄ + (1 − d) θ after each rollout,
    so that what a policy reads changes slowly. Where it `learns` from those who read it, end to end, it is one memory: both
    change it, and d plays no part.

    The memory has the agent's estimator, and its optimiser with a state of its own: a rate that falls does so by the
    updates of the memory, one for each window of a pass. The steps of the episodes that it goes through are played beside
    the rollouts, and not counted with them.

    **Arguments:**

    - `agent`: who learns to act.
    - `choice`, `detector`: as of `MemUP`.
    - `window`: the steps of an episode between two updates of the memory, through which credit passes.
    - `passes`, `batch`: how often the memory goes through episodes after a rollout, and through how many at once.
    - `decay`: d.
    - `steps`, `gamma`: of the episodes, as of `AgentPlay`.

    Reference: Sorokin et al., *Explain my surprise*, NeurIPS 2022, whose code trains memory and policy so, with d = 0.9.
    """

    agent: AbstractAgent
    env: AbstractEnv
    estimator: AbstractEstimator
    optimiser: optax.GradientTransformation
    choice: AbstractChoice
    detector: AbstractDetector
    window: int
    passes: int
    batch: int
    decay: float
    steps: int | None
    gamma: float

    def __init__(
        self,
        agent: AbstractAgent,
        choice: AbstractChoice = Surprising(),
        detector: AbstractDetector = Slow(),
        window: int = 1,
        passes: int = 1,
        batch: int = 32,
        decay: float = 0.9,
        steps: int | None = None,
        gamma: float = 0.0,
    ):
        for name, value in (("window", window), ("passes", passes), ("batch", batch)):
            if value < 1:
                raise InputError(f"Alternating({name}={value}): give 1 at least.")
        if not 0 <= decay < 1:
            raise InputError(f"Alternating(decay={decay}): what is read would not follow; give 0 <= decay < 1.")
        self.agent, self.choice, self.detector = agent, choice, detector
        self.env, self.estimator, self.optimiser = agent.env, agent.estimator, agent.optimiser
        self.window, self.passes, self.batch, self.decay = window, passes, batch, decay
        self.steps, self.gamma = steps, gamma

    def objective(self, model: AbstractCell) -> MemUP:
        """What trains the memory of a model, in the episodes that this plays."""
        episodes = AgentPlay(self.env, model, self.steps, self.gamma)
        return MemUP(episodes, self.estimator, self.optimiser, self.choice, detector=self.detector)

    def start(self, model: Model, playing: Playing, key: PRNGKeyArray) -> Acting:
        head_key, memory_key, key = jax.random.split(key, 3)
        state, objective = self.agent.start(model, playing, key), self.objective(model)
        memory, (seen, asked, said) = read(model).memory, objective.episodes.sizes
        width = output_size(memory, seen)
        foresight = Foresight(memory, Head(width, 0, asked, width, said, key=head_key))
        both = Both(state.optimiser, objective.init(foresight, key=memory_key))
        return dataclasses.replace(state, optimiser=both)

    def learn(self, state: Acting, played: Played, key: PRNGKeyArray) -> tuple[Model, PyTree, Carry, Outcome]:
        alone = dataclasses.replace(state, optimiser=state.optimiser.agent)
        model, optimiser, carry, outcome = self.agent.learn(alone, played, key)
        memory, said = self.remember(model, state.optimiser.memory)
        model = eqx.tree_at(lambda model: read(model).memory, model, self._followed(read(model), memory.model.memory))
        return model, Both(optimiser, memory), carry, Outcome(outcome.loss, outcome.metrics | said)

    def remember(self, model: AbstractCell, memory: Foreseeing) -> tuple[Foreseeing, dict[str, Tally]]:
        """The memory after its passes through episodes, and what they had to say."""
        if read(model).learns:
            memory = eqx.tree_at(lambda memory: memory.model.memory, memory, read(model).memory)
        objective = self.objective(model)
        arrays, static = eqx.partition(memory, eqx.is_array)

        def one(arrays, _):
            memory, outcome = objective.update(eqx.combine(arrays, static), self.batch, self.window)
            return eqx.filter(memory, eqx.is_array), outcome.metrics

        arrays, said = jax.lax.scan(one, arrays, None, self.passes)
        return eqx.combine(arrays, static), jax.tree.map(jnp.sum, said)

    def _followed(self, reader: Alongside, trained: AbstractCell) -> AbstractCell:
        if reader.learns:
            return trained
        return jax.tree.map(
            lambda old, new: self.decay * old + (1 - self.decay) * new if eqx.is_inexact_array(old) else old,
            reader.memory,
            trained,
        )

    def loss(self, output: Any, target: Any) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return self.agent.loss(output, target)

    def targets(self, played: Played) -> PyTree:
        return self.agent.targets(played)


def read(model: PyTree) -> Alongside:
    """The one place where a model reads a memory."""

    def is_reader(part):
        return isinstance(part, Alongside)

    found = [part for part in jax.tree.leaves(model, is_leaf=is_reader) if is_reader(part)]
    if len(found) != 1:
        raise InputError(
            f"The model reads a memory in {len(found)} places, and Alternating wants one: give a cell such as "
            f"Chain(Alongside(LSTM(64)), Perceptron(64)) that policy and value share, with --shared."
        )
    return found[0]
