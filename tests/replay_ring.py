"""An algorithm whose state has a big ring of entries, as the replay buffer of an off-policy agent has."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from farback import AbstractAlgorithm, Outcome, Tally
from farback.algorithm import Criterion
from farback.runs.blocks import BLOCK
from farback.runs.program import Program

BLOCKS = 4
"""The blocks of the entries."""
ENTRIES = 16 * BLOCKS
"""The entries of the ring, 16 a block."""


class Replay(NamedTuple):
    x: jax.Array
    key: jax.Array
    count: jax.Array
    entries: jax.Array
    fixed: jax.Array


class Ring(AbstractAlgorithm):
    """Each update draws an entry and writes it over the oldest one; with `rewrites`, it also changes an entry anywhere.

    `x` depends on all entries, so a lost or changed one changes what is learnt. `fixed` never changes.
    """

    rewrites: bool = True

    @property
    def steps_per_update(self):
        return 1

    @property
    def criterion(self):
        return Criterion("losses/loss", True, {})

    @property
    def evaluation_unit(self):
        return "steps"

    @property
    def episode_length(self):
        return None

    def init(self, key):
        entries = jnp.zeros((ENTRIES, BLOCK // 64), jnp.float32)
        fixed = jax.random.bits(jax.random.fold_in(key, 1), (2 * BLOCK,), jnp.uint8)
        return Replay(jnp.zeros(()), key, jnp.zeros((), int), entries, fixed)

    def update(self, state):
        key, entry, place = jax.random.split(state.key, 3)
        drawn = jax.random.uniform(entry, state.entries.shape[1:], jnp.float32, minval=0.5)
        entries = state.entries.at[state.count % ENTRIES].set(drawn)
        if self.rewrites:
            entries = entries.at[jax.random.randint(place, (), 0, ENTRIES)].multiply(jnp.float32(0.9))
        x = 0.9 * state.x + entries.mean(dtype=jnp.float64)
        outcome = Outcome(x, {"x": Tally(x, jnp.ones(()))})
        return Replay(x, key, state.count + 1, entries, state.fixed), outcome

    def network_in(self, state):
        return {"x": state.x}

    def evaluate(self, network, key, amount):
        return {"losses/loss": Tally(network["x"][None], jnp.ones(1))}

    def timeline(self, network, key, steps):
        raise NotImplementedError


def ring_program(ring):
    return Program(ring, (5,), 4)
