"""An agent in its environment, as a run trains it."""

import dataclasses
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from engram.agents.acting import begin, rollout
from engram.agents.base import AbstractAgent, Acting
from engram.cell import AbstractCell
from engram.runs.log import Tallies, named
from engram.runs.trial import AbstractTrial, Aim, Scene
from engram.tasks.base import Part
from engram.types import Outcome, Tally


class ActingTrial(AbstractTrial):
    """An agent that plays, and learns from each rollout.

    **Arguments:**

    - `agent`: what learns.
    - `make`: the model, from a key.
    - `batch`: the copies of the environment.
    - `length`: the steps of a rollout: of each copy between two updates.
    """

    agent: AbstractAgent
    make: Callable[[PRNGKeyArray], AbstractCell]
    batch: int
    length: int

    @property
    def steps(self) -> int:
        return self.batch * self.length

    @property
    def aim(self) -> Aim:
        env = self.agent.env
        levels = {"optimum": env.optimum, "memoryless": env.memoryless, "random": env.random}
        known = {name: value for name, value in levels.items() if math.isfinite(value)}
        return Aim("charts/episodic_return", False, known)

    def init(self, key: PRNGKeyArray) -> Acting:
        model_key, agent_key = jax.random.split(key)
        return self.agent.init(self.make(model_key), self.batch, key=agent_key)

    def update(self, state: Acting) -> tuple[Acting, Outcome]:
        return self.agent.update(state, self.length)

    def model(self, state: Acting) -> AbstractCell:
        return state.model

    def held_out(self, part: Part = "test") -> "ActingTrial":
        del part
        return dataclasses.replace(self, agent=eqx.tree_at(lambda agent: agent.env, self.agent, self.agent.env.goal))

    def evaluate(self, model: AbstractCell, key: PRNGKeyArray, updates: int) -> Tallies:
        begin_key, act_key = jax.random.split(key)

        def one(running, key):
            state, playing = running
            state, playing, _, scores = rollout(self.agent.env, model, state, playing, key, self.length)
            return (state, playing), scores

        start = (self.agent.step.initial(model, self.batch), begin(self.agent.env, self.batch, begin_key))
        scores = jax.lax.scan(one, start, jax.random.split(act_key, updates))[1]
        return named(jax.tree.map(jnp.sum, scores))

    def watch(self, model: AbstractCell, key: PRNGKeyArray, steps: int) -> Scene:
        begin_key, act_key = jax.random.split(key)

        env = self.agent.env

        def one(running, key):
            state, playing = running
            after, later, found, _ = rollout(env, model, state, playing, key[None], 1)
            world, own = jax.tree.map(lambda leaf: leaf[0], (playing.plays.state, after))
            memory = (own, env.held(world))
            return (after, later), (jax.tree.map(lambda leaf: leaf[0, 0], found), memory, world, env.cue(world))

        start = (self.agent.step.initial(model, 1), begin(env, 1, begin_key))
        found, memory, world, cue = jax.lax.scan(one, start, jax.random.split(act_key, steps))[1]
        counts = (~found.over).astype(found.reward.dtype)
        said = {
            "charts/reward": Tally(counts * found.reward, counts),
            "charts/value": Tally(found.value, jnp.ones_like(counts)),
        }
        return Scene(found.first, cue & ~found.over, found.seen, found.action, memory, said, world)

    def looks(self, scene: Scene) -> list[str]:
        leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, scene.world))
        return [self.agent.env.text(jax.tree.unflatten(structure, state)) for state in zip(*leaves, strict=True)]
