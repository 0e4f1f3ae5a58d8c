"""Runs small enough for tests, and how they are compared."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from engram import Outcome, Tally
from engram.runs.checkpoint import Checkpoints, facts, read
from engram.runs.config import Config, settle, write_config
from engram.runs.log import read_rows
from engram.runs.loop import Options, train
from engram.runs.optimiser import halvable
from engram.runs.program import Program
from engram.runs.saved import Saved
from engram.runs.trial import AbstractTrial, Aim

TIMES = ("charts/SPS", "time/seconds")


def config(estimator="UORO()", cell="GRU(4)", seeds=1, steps=280, **changes):
    settings = {"task": "Recall(3)", "optimiser": "adam(1e-2)", "batch": 2, "length": 2, "seed": 5, "log_every": 3}
    return Config(**(settings | {"cell": cell, "estimator": estimator, "seeds": seeds, "steps": steps} | changes))


@functools.cache
def program_of(config, devices):
    """What is compiled once for the many runs of a test; tests/test_survival.py has processes of their own."""
    return config.program(devices)


def run(directory, config, updates=None, devices=1, **more):
    settled = settle(directory, config)
    program = program_of(dataclasses.replace(settled, steps=1), devices)
    directory.mkdir(parents=True, exist_ok=True)
    write_config(directory, settled)
    train(program, directory, updates or settled.updates, record=settled.record, **more)
    facts, running = newest(directory, program)
    return Saved(program, running, facts)


def newest(directory, program):
    path = Checkpoints(directory / "checkpoints").paths()[0]
    return facts(path), read(path, program.like)


def leaves(running):
    named = jax.tree.leaves_with_path(running)
    plain = {
        jax.tree_util.keystr(path): np.asarray(
            jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        )
        for path, leaf in named
    }
    assert plain
    return plain


def identical(one, other):
    one, other = leaves(one), leaves(other)
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def rows(directory):
    found = read_rows(directory / "metrics.jsonl")
    return [{name: value for name, value in row.items() if name not in TIMES} for row in found]


class Walk(NamedTuple):
    x: jax.Array
    halvings: tuple
    count: jax.Array
    seed: jax.Array
    hidden: jax.Array


class Walker(AbstractTrial):
    """Its model grows; it becomes infinite at one update of one seed, if the step was not halved `needs` times."""

    bad_update: int = 37
    bad_seed: int = 6
    needs: int = 1
    bad: str = "parameter"
    valley: int = 0
    minimise: bool = True

    @property
    def steps(self):
        return 1

    @property
    def aim(self):
        return Aim("losses/loss", self.minimise, {})

    def init(self, key):
        return Walk(
            jnp.zeros(2), halvable().init(None), jnp.zeros((), int), jax.random.key_data(key)[-1].astype(int), jnp.zeros(())
        )

    def update(self, state):
        step, _ = halvable().update(jnp.ones(2), state.halvings)
        due = (state.count + 1 == self.bad_update) & (state.seed == self.bad_seed) & (step[0] > 0.5**self.needs)
        value = jnp.where(due, jnp.inf, 0.0)
        x = state.x + step + (jnp.array([0.0, 1.0]) * value if self.bad == "parameter" else 0.0)
        loss = state.x[0] + (value if self.bad == "loss" else 0.0)
        if self.valley:
            loss = (1 if self.minimise else -1) * (state.count - self.valley).astype(float) ** 2
        if self.bad == "state":  # of which the parameters are NaN one update later
            x = x + 0 * state.hidden
            state = state._replace(hidden=state.hidden + value)
        return Walk(x, state.halvings, state.count + 1, state.seed, state.hidden), Outcome(
            loss, {"x": Tally(loss, jnp.ones(()))}
        )

    def model(self, state):
        return {"x": state.x}

    def evaluate(self, model, key, updates):
        return Outcome(model["x"][0], {})

    def watch(self, model, key, steps):
        raise NotImplementedError


def walk(directory, trial, updates=100, *, seeds=(5, 6), warn=print, **options):
    program = Program(trial, seeds, 10)
    train(program, directory, updates, options=Options(**options), warn=warn)
    return newest(directory, program)[1].state
