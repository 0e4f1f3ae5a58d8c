"""What a run trains: how one seed begins, and how it takes one update."""

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PRNGKeyArray, PyTree

from engram.learner import Learner, Learning
from engram.runs.log import Tallies, tallies
from engram.step import Model
from engram.tasks.base import Part, Source
from engram.types import Outcome

State = PyTree


class Aim(NamedTuple):
    """What a run is judged by.

    - `metric`: its name in the log.
    - `minimise`: whether less of it is better.
    - `levels`: values to compare it with, by name, such as the optimum, where they are known.
    """

    metric: str
    minimise: bool
    levels: Mapping[str, float]


class Scene(NamedTuple):
    """What a model does on one sequence, leading axis time.

    - `first`: where an episode begins.
    - `cue`: where something is seen that is known to be wanted later.
    - `seen`: what the model sees.
    - `output`: what it puts out.
    - `memory`: its state after each step.
    - `said`: what each step is charged, and its metrics, by the names of the log.
    - `world`: the state of the environment, where there is one.
    """

    first: Bool[Array, " time"]
    cue: Bool[Array, " time"]
    seen: PyTree[Array]
    output: PyTree[Array]
    memory: PyTree[Array]
    said: Tallies
    world: PyTree[Array] = ()


class AbstractTrial(eqx.Module):
    """One seed of a run. Whatever a run trains, a learner or an agent, it knows as this and no more.

    The state is one pytree with everything in it: model, optimiser, carry, source of data, keys.
    """

    @property
    @abstractmethod
    def steps(self) -> int:
        """The time steps of one update, of all its sequences together."""

    @property
    @abstractmethod
    def aim(self) -> Aim:
        """What this is judged by."""

    @property
    def abreast(self) -> bool:
        """Whether several seeds are computed as a batch axis, rather than one after the other."""
        return True

    @abstractmethod
    def init(self, key: PRNGKeyArray) -> State:
        """The state before the first update."""

    @abstractmethod
    def update(self, state: State) -> tuple[State, Outcome]:
        """One update."""

    @abstractmethod
    def model(self, state: State) -> Model:
        """The model within a state."""

    @abstractmethod
    def evaluate(self, model: Model, key: PRNGKeyArray, updates: int) -> Tallies:
        """What a model scores, as it is, on fresh data: as much of it as `updates` updates see, by the names of the log."""

    @abstractmethod
    def watch(self, model: Model, key: PRNGKeyArray, steps: int) -> Scene:
        """What a model does on fresh data, step by step."""

    def looks(self, scene: Scene) -> list[str]:
        """Each step of a scene in a line of text: of ones and zeros the places of the ones."""
        return [_look(seen) for seen in np.asarray(scene.seen)]

    def held_out(self, part: Part = "test") -> "AbstractTrial":
        """This trial on data that training never sees: by default itself, for it draws afresh from every key."""
        del part
        return self


class Streaming(eqx.Module):
    """The state of a learner on its stream."""

    learning: Learning
    sources: Source


class StreamTrial(AbstractTrial):
    """A learner on a stream of its task.

    **Arguments:**

    - `learner`: what learns.
    - `make`: the model, from a key.
    - `batch`: the number of sequences.
    - `length`: the steps of a window: of each sequence between two updates.
    """

    learner: Learner
    make: Callable[[PRNGKeyArray], Model]
    batch: int
    length: int

    @property
    def steps(self) -> int:
        return self.batch * self.length

    @property
    def aim(self) -> Aim:
        task = self.learner.task
        levels = {"optimum": task.optimum, "memoryless": task.memoryless}
        return Aim("losses/loss", True, {name: value for name, value in levels.items() if math.isfinite(value)})

    def init(self, key: PRNGKeyArray) -> Streaming:
        model_key, learner_key, data_key = jax.random.split(key, 3)
        learning = self.learner.init(self.make(model_key), self.batch, key=learner_key)
        return Streaming(learning, self.learner.task.sources(self.batch, data_key))

    def update(self, state: Streaming) -> tuple[Streaming, Outcome]:
        sources, window = self.learner.task.window(state.sources, self.length)
        learning, outcome = self.learner.update(state.learning, window)
        return Streaming(learning, sources), outcome

    def model(self, state: Streaming) -> Model:
        return state.learning.model

    def evaluate(self, model: Model, key: PRNGKeyArray, updates: int) -> Tallies:
        step, task = self.learner.step, self.learner.task

        def one(running, _):
            state, sources = running
            sources, window = task.window(sources, self.length)
            window = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), window)
            flow = jnp.ones(window.first.shape)
            state, (loss, metrics) = step.unroll(model, state, window, flow)
            return (state, sources), (jnp.mean(loss), jax.tree.map(jnp.sum, metrics))

        start = (step.initial(model, self.batch), task.sources(self.batch, key))
        _, (loss, metrics) = jax.lax.scan(one, start, None, updates)
        return tallies(Outcome(jnp.mean(loss), jax.tree.map(jnp.sum, metrics)))

    def watch(self, model: Model, key: PRNGKeyArray, steps: int) -> Scene:
        step, task = self.learner.step, self.learner.task

        def one(running, _):
            state, source = running
            source, data = task.emit(source)
            state, output = step.advance(model, state, data.first, step.encode(model, data))
            said = tallies(Outcome(*step.charge(model, output, data)))
            return (state, source), Scene(data.first, jnp.array(False), data.inputs, output, state, said)

        return jax.lax.scan(one, (step.memory(model).initial(), task.begin(key)), None, steps)[1]

    def held_out(self, part: Part = "test") -> "StreamTrial":
        learner = dataclasses.replace(self.learner, task=self.learner.task.held_out(part))
        return dataclasses.replace(self, learner=learner)


def _look(seen: np.ndarray) -> str:
    if np.isin(seen, (0, 1)).all():
        return ",".join(map(str, np.flatnonzero(seen))) or "·"
    return " ".join(f"{value:.2g}" for value in seen[:4]) + (" …" if len(seen) > 4 else "")
