"""Runs small enough for tests, and comparisons of them."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from farback import AbstractAlgorithm, Outcome, Tally
from farback.algorithm import Criterion
from farback.ops.optimizers import halvable
from farback.runs.checkpoint import Checkpoints, facts, read
from farback.runs.config import configure
from farback.runs.directory import resolve_config, write_config
from farback.runs.log import read_rows
from farback.runs.loop import Options, train
from farback.runs.program import Program
from farback.runs.saved import LoadedRun

TIMES = ("charts/SPS", "time/seconds")


def config(estimator="UORO()", cell="GRU(4)", seeds=1, total_steps=280, **changes):
    settings = {"task": "Recall(3)", "optimizer": "adam(1e-2)", "batch_size": 2, "window": 2, "seed": 5, "log_every": 3}
    fixed = {"cell": cell, "estimator": estimator, "seeds": seeds, "total_steps": total_steps}
    return configure("supervised", **(settings | fixed | changes))


@functools.cache
def program_of(config, devices):
    """The program of a configuration, compiled once for all runs of a test. test_survival.py starts processes instead."""
    return config.program(devices)


def run(directory, config, updates=None, devices=1, **more):
    resolved = resolve_config(directory, config)
    program = program_of(resolved.replace(total_steps=1), devices)
    directory.mkdir(parents=True, exist_ok=True)
    write_config(directory, resolved)
    train(program, directory, updates or resolved.updates, record=resolved.record, **more)
    facts, state = newest(directory, program)
    return LoadedRun(program, state, facts)


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


class Walker(AbstractAlgorithm):
    """Its parameters grow by one step each update.

    One value is infinite at one update of one seed, unless the step was halved `needs` times.
    """

    bad_update: int = 37
    bad_seed: int = 6
    needs: int = 1
    bad: str = "parameter"
    valley: int = 0
    minimise: bool = True

    @property
    def steps_per_update(self):
        return 1

    @property
    def criterion(self):
        return Criterion("losses/loss", self.minimise, {})

    @property
    def evaluation_unit(self):
        return "steps"

    @property
    def episode_length(self):
        return None

    def init(self, key):
        seed = jax.random.key_data(key)[-1].astype(int)
        return Walk(jnp.zeros(2), halvable().init(None), jnp.zeros((), int), seed, jnp.zeros(()))

    def update(self, state):
        step, _ = halvable().update(jnp.ones(2), state.halvings)
        due = (state.count + 1 == self.bad_update) & (state.seed == self.bad_seed) & (step[0] > 0.5**self.needs)
        value = jnp.where(due, jnp.inf, 0.0)
        x = state.x + step + (jnp.array([0.0, 1.0]) * value if self.bad == "parameter" else 0.0)
        loss = state.x[0] + (value if self.bad == "loss" else 0.0)
        if self.valley:
            loss = (1 if self.minimise else -1) * (state.count - self.valley).astype(float) ** 2
        if self.bad == "state":  # the parameters are NaN one update later
            x = x + 0 * state.hidden
            state = state._replace(hidden=state.hidden + value)
        metrics = {"x": Tally(loss, jnp.ones(()))}
        return Walk(x, state.halvings, state.count + 1, state.seed, state.hidden), Outcome(loss, metrics)

    def network_in(self, state):
        return {"x": state.x}

    def evaluate(self, network, key, amount):
        return {"losses/loss": Tally(network["x"][:1], jnp.ones(1))}

    def timeline(self, network, key, steps):
        raise NotImplementedError


def walk(directory, algorithm, updates=100, *, seeds=(5, 6), warn=print, **options):
    program = Program(algorithm, seeds, 10)
    train(program, directory, updates, options=Options(**options), warn=warn)
    return newest(directory, program)[1].state
