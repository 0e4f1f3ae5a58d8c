"""A memory that is trained on what will be surprising, as a run trains it."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from engram.cells.foresight import Foresight
from engram.memup import Foreseeing, MemUP
from engram.objectives.detectors import gone_through
from engram.runs.log import Tallies, named
from engram.runs.trial import AbstractTrial, Aim, Scene
from engram.tasks.base import Part
from engram.types import Outcome, Tally

SURPRISE = "charts/surprise"


class ForeseeingTrial(AbstractTrial):
    """A memory that goes through episodes, a batch of them in each update.

    **Arguments:**

    - `learner`: what learns.
    - `make`: the model, from a key.
    - `batch`: the episodes that are gone through together.
    - `length`: the steps of a window: of each episode between two steps of the optimiser.
    """

    learner: MemUP
    make: Callable[[PRNGKeyArray], Foresight]
    batch: int
    length: int

    @property
    def steps(self) -> int:
        return self.batch * self.learner.windows(self.length) * self.length

    @property
    def aim(self) -> Aim:
        return Aim(SURPRISE, True, self.learner.episodes.levels)

    def init(self, key: PRNGKeyArray) -> Foreseeing:
        model_key, key = jax.random.split(key)
        return self.learner.init(self.make(model_key), key=key)

    def update(self, state: Foreseeing) -> tuple[Foreseeing, Outcome]:
        return self.learner.update(state, self.batch, self.length)

    def model(self, state: Foreseeing) -> Foresight:
        return state.model

    def held_out(self, part: Part = "test") -> "ForeseeingTrial":
        learner = dataclasses.replace(self.learner, episodes=self.learner.episodes.held_out(part))
        return dataclasses.replace(self, learner=learner)

    def evaluate(self, model: Foresight, key: PRNGKeyArray, updates: int) -> Tallies:
        def one(_, key):
            recording = self.learner.episodes.draw(self.batch, key)
            errors = gone_through(self.learner.episodes, model, recording)
            return None, self.learner.metrics(recording, errors)

        said = jax.lax.scan(one, None, jax.random.split(key, updates))[1]
        return named(jax.tree.map(jnp.sum, said))

    def watch(self, model: Foresight, key: PRNGKeyArray, steps: int) -> Scene:
        episodes = self.learner.episodes

        def one(key):
            recording = jax.tree.map(lambda leaf: leaf[0], episodes.draw(1, key))

            def step(state, now):
                state, output = model(state, now.told)
                error = episodes.loss(output, now.targets)[0]
                return state, (output, state, {SURPRISE: Tally(error, now.counts.astype(error.dtype))})

            output, state, said = jax.lax.scan(step, model.initial(), recording)[1]
            first = jnp.arange(episodes.steps) == 0
            return Scene(first, jnp.zeros_like(first), recording.told.seen, output, state, said)

        count = -(-steps // episodes.steps)
        scenes = jax.vmap(one)(jax.random.split(key, count))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:steps], scenes)
