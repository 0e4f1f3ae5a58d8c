"""The compiled program of a run: many updates of many seeds between two looks of the host."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, PyTree

from engram.envs.host import told
from engram.runs.checkpoint import fingerprint
from engram.runs.log import Tallies, tallies
from engram.runs.trial import AbstractTrial
from engram.step import Model
from engram.types import InputError

ROWS = 256
"""The most rows that one call can complete; a call that would exceed them takes fewer updates."""


class Running(eqx.Module):
    """The arrays of all seeds, stacked along a leading axis.

    - `state`: of the trials.
    - `row`: of the log: what has been tallied since the last complete one.
    """

    state: PyTree
    row: Tallies


class Program:
    """Takes updates of every seed, whose number is known when it is called: one compilation serves all lengths.

    Several seeds are a batch axis: each has the keys, and so the parameters and the data, that it would have alone, and its
    numbers are those it would have alone up to the order in which sums are taken.

    The arrays of the trial itself, such as a task's data, are arguments of the program and shared by the seeds: constants
    would be compiled, and stored once more with every compiled program.

    **Arguments:**

    - `trial`: what is trained.
    - `seeds`: the seed of each copy.
    - `log_every`: the updates of one row of the log.
    - `devices`: over how many devices the seeds are laid; it must divide their number.
    """

    def __init__(self, trial: AbstractTrial, seeds: Sequence[int], log_every: int, devices: int = 1):
        if len(seeds) % devices:
            raise InputError(f"{len(seeds)} seeds cannot be shared by {devices} devices: give a multiple of them.")
        self.trial, self.seeds, self.log_every, self.devices = trial, tuple(seeds), log_every, devices
        self._data, self._rest = eqx.partition(trial, eqx.is_array)
        if devices > 1:
            self._mesh = Mesh(np.array(jax.devices()[:devices]), ("seed",))
            self._data = jax.device_put(self._data, NamedSharding(self._mesh, PartitionSpec()))
        state = eqx.filter_eval_shape(trial.init, jax.random.key(0))
        arrays, self._static = eqx.partition(state, _is_array)
        row = eqx.filter_eval_shape(lambda state: tallies(trial.update(state)[1]), state)
        self._tally = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), row)
        one = Running(arrays, self._tally)
        self._compiled: Any = None
        self.like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((len(seeds), *leaf.shape), leaf.dtype), one)

    @property
    def steps(self) -> int:
        """The time steps of one update of all seeds."""
        return self.trial.steps * len(self.seeds)

    @property
    def record(self) -> dict[str, Any]:
        """What decides what is learnt and does not show in a configuration: the seeds, and which data there are, if any."""
        data = fingerprint(self._data)
        return {"seeds": list(self.seeds)} | ({} if data is None else {"data": data})

    def init(self) -> Running:
        """Every seed before its first update."""
        init = eqx.filter_jit(lambda trial, key: eqx.filter(trial.init(key), eqx.is_array))
        each = [Running(init(self.trial, jax.random.key(seed)), self._tally) for seed in self.seeds]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)

    def compile(self) -> None:
        """Makes the program ready, once; `advance` does it otherwise."""
        if self._compiled is None:
            self._compiled = jax.jit(self._all).lower(self._data, self.like, 0, 0).compile()

    @property
    def scratch(self) -> int:
        """The bytes that a call needs beside what it is given, and gives."""
        self.compile()
        return self._compiled.memory_analysis().temp_size_in_bytes

    def advance(self, running: Running, updates: int, at: int) -> tuple[Running, Tallies, Bool[np.ndarray, " seeds"]]:
        """Takes updates, `at` of which were done before.

        Gives what runs on, the tallies of the rows of the log (axes `[seeds, ROWS]`, from the one in the making on), and
        which seeds are sound: whether no loss, and nothing of the state, is NaN or infinite.
        """
        self.compile()
        with told():
            running, rows, sound = self._compiled(self._data, running, updates, at % self.log_every)
            return running, jax.tree.map(np.asarray, rows), np.asarray(sound)

    def room(self, at: int) -> int:
        """The most updates that `advance` can take."""
        return min(ROWS * self.log_every - at % self.log_every - 1, 2**30)

    def model(self, running: Running, index: int) -> Model:
        """The model of one seed."""
        state = jax.tree.map(lambda leaf: leaf[index], running.state)
        return self.trial.model(eqx.combine(state, self._static))

    def _all(self, data, running, updates, offset):
        def every(data, running):
            trial = eqx.combine(data, self._rest)
            if len(self.seeds) == self.devices:  # one each: a batch axis of 1 would cost time
                one = jax.tree.map(lambda leaf: leaf[0], running)
                return jax.tree.map(lambda leaf: leaf[None], self._one(trial, one, updates, offset))
            if not trial.abreast:
                return jax.lax.map(lambda running: self._one(trial, running, updates, offset), running)
            return jax.vmap(lambda running: self._one(trial, running, updates, offset))(running)

        if self.devices == 1:
            return every(data, running)
        share = PartitionSpec("seed")
        shared = jax.shard_map(every, mesh=self._mesh, in_specs=(PartitionSpec(), share), out_specs=share, check_vma=False)
        return shared(data, running)

    def _one(
        self, trial: AbstractTrial, running: Running, updates: Any, offset: Any
    ) -> tuple[Running, Tallies, Bool[Array, ""]]:
        def body(done, carried):
            arrays, rows = carried
            state, outcome = trial.update(eqx.combine(arrays, self._static))
            row = (offset + done) // self.log_every
            rows = jax.tree.map(lambda rows, leaf: rows.at[row].add(leaf), rows, tallies(outcome))
            return eqx.filter(state, eqx.is_array), rows

        rows = jax.tree.map(lambda leaf: jnp.zeros((ROWS, *leaf.shape), leaf.dtype).at[0].set(leaf), running.row)
        arrays, rows = jax.lax.fori_loop(0, updates, body, (running.state, rows))
        row = jax.tree.map(lambda leaf: leaf[(offset + updates) // self.log_every], rows)
        return Running(arrays, row), rows, _finite((eqx.filter(arrays, eqx.is_inexact_array), rows["losses/loss"]))


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _finite(tree: PyTree) -> Bool[Array, ""]:
    return jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]).all()
