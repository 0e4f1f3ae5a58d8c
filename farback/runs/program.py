"""The compiled program of a run: many updates of many seeds per call."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Int, PyTree

from farback.algorithm import AbstractAlgorithm, logged
from farback.envs.bridges.host import host_errors
from farback.ops.host_arrays import HostArrays, HostStore
from farback.ops.schedules import with_array_numbers
from farback.runs.checkpoint import fingerprint
from farback.step import Metrics, Model
from farback.types import InputError

ROWS = 256
"""The most rows of the log that one call can complete."""


class ProgramState(eqx.Module):
    """The arrays of all seeds, stacked along a leading axis.

    - `state`: the states of the algorithm.
    - `row`: the tallies since the last complete row of the log.
    - `host`: the arrays that stay on the host, if there are any.
    """

    state: PyTree
    row: Metrics
    host: PyTree = None


class Program:
    """Makes any number of updates of every seed; the program is compiled once.

    Seeds are a batch axis. Each seed has the keys, and therefore the initial parameters and the data, of a run with that
    seed alone, and its results equal those of that run up to the order of summation.

    The arrays of the algorithm, such as a task's data, are arguments of the compiled program and shared by the seeds. So
    are its floating-point hyperparameters: a new learning rate does not recompile the program.

    **Arguments:**

    - `algorithm`: the algorithm.
    - `seeds`: the seed of each copy.
    - `log_every`: the updates per row of the log.
    - `devices`: the number of devices to spread the seeds over; it must divide their number.
    """

    def __init__(self, algorithm: AbstractAlgorithm, seeds: Sequence[int], log_every: int, devices: int = 1):
        if len(seeds) % devices:
            raise InputError(f"devices = {devices} does not divide the {len(seeds)} seeds: give a divisor.")
        if devices > 1 and algorithm.on_host is not None:
            raise InputError(f"devices = {devices}: arrays on the host are not spread over devices; give devices = 1.")
        self.algorithm, self.seeds, self.log_every, self.devices = algorithm, tuple(seeds), log_every, devices
        self._fingerprint = fingerprint(eqx.filter(algorithm, eqx.is_array))
        self._data, self._rest = eqx.partition(with_array_numbers(algorithm), eqx.is_array)
        if devices > 1:
            self._mesh = Mesh(np.array(jax.devices()[:devices]), ("seed",))
            self._data = jax.device_put(self._data, NamedSharding(self._mesh, PartitionSpec()))
        state = eqx.filter_eval_shape(algorithm.init, jax.random.key(0))
        self._store = None if algorithm.on_host is None else HostStore(algorithm.on_host(state))
        state = eqx.filter_eval_shape(lambda state: self._with_host_arrays(state, jnp.zeros((), int)), state)
        arrays, self._static = eqx.partition(state, _is_array)
        row = eqx.filter_eval_shape(lambda state: logged(algorithm.update(state)[1]), state)
        self._tally = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), row)
        one = ProgramState(arrays, self._tally)
        self._compiled: Any = None
        self._like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((len(seeds), *leaf.shape), leaf.dtype), one)

    @property
    def like(self) -> ProgramState:
        """The shapes and dtypes of a state."""
        host = None if self._store is None else self._store.shapes(len(self.seeds))
        return dataclasses.replace(self._like, host=host)

    @property
    def steps(self) -> int:
        """The time steps of one update of all seeds."""
        return self.algorithm.steps_per_update * len(self.seeds)

    @property
    def record(self) -> dict[str, Any]:
        """The values that determine what is learnt, besides the configuration: the seeds, and the digest of the algorithm's
        arrays, such as a task's data or a pretrained part.
        """
        return {"seeds": list(self.seeds)} | ({} if self._fingerprint is None else {"data": self._fingerprint})

    def init(self) -> ProgramState:
        """Returns the state of every seed before its first update."""

        @eqx.filter_jit
        def init(algorithm, keys, indices):
            def one(key_and_index):
                key, index = key_and_index
                state = self._with_host_arrays(algorithm.init(key), index)
                return ProgramState(eqx.filter(state, eqx.is_array), self._tally)

            return jax.lax.map(one, (keys, indices))

        keys = jnp.stack([jax.random.key(seed) for seed in self.seeds])
        begun = init(self.algorithm, keys, jnp.arange(len(self.seeds)))
        return dataclasses.replace(begun, host=jax.tree.map(lambda leaf: leaf.empty(), self.like.host))

    def compile(self) -> None:
        """Compiles the program, unless it is compiled already; `advance` does so too."""
        if self._compiled is None:
            self._compiled = jax.jit(self._all, donate_argnums=1).lower(self._data, self._like, 0, 0).compile()

    @property
    def scratch(self) -> int:
        """The bytes of memory that a call needs beside its arguments and results."""
        self.compile()
        return self._compiled.memory_analysis().temp_size_in_bytes

    def advance(
        self, running: ProgramState, updates: int, at: int
    ) -> tuple[ProgramState, Metrics, Bool[np.ndarray, " seeds"]]:
        """Makes `updates` updates, after `at` earlier ones. `running` is donated: it must not be used again.

        **Returns:** `(state, rows, finite)`: the state after the updates; the tallies of the rows of the log, axes
        `[seeds, ROWS]`, beginning with the unfinished row; and for each seed whether its losses and its state are finite.
        """
        self.compile()
        host, running = running.host, dataclasses.replace(running, host=None)
        if self._store is not None:
            self._store.arrays = host
        with host_errors():
            running, rows, finite = self._compiled(self._data, running, updates, at % self.log_every)
            rows, finite = jax.tree.map(np.asarray, rows), np.asarray(finite)
            jax.effects_barrier()
        return dataclasses.replace(running, host=host), rows, finite

    def room(self, at: int) -> int:
        """Returns the most updates that `advance` can make."""
        return min(ROWS * self.log_every - at % self.log_every - 1, 2**30)

    def network(self, running: ProgramState, index: int) -> Model:
        """Returns the network of one seed."""
        state = jax.tree.map(lambda leaf: leaf[index], running.state)
        return self.algorithm.network_in(eqx.combine(state, self._static))

    def _with_host_arrays(self, state: PyTree, index: Int[Array, ""]) -> PyTree:
        """The state of a seed, whose arrays on the host are `HostArrays`."""
        on_host, store = self.algorithm.on_host, self._store
        return state if on_host is None or store is None else eqx.tree_at(on_host, state, HostArrays(index, store))

    def _all(self, data, running, updates, offset):
        def every(data, running):
            algorithm = eqx.combine(data, self._rest)
            if len(self.seeds) == self.devices:  # a batch axis of size 1 would cost time
                one = jax.tree.map(lambda leaf: leaf[0], running)
                return jax.tree.map(lambda leaf: leaf[None], self._one(algorithm, one, updates, offset))
            if not algorithm.vectorize_seeds:
                return jax.lax.map(lambda running: self._one(algorithm, running, updates, offset), running)
            return jax.vmap(lambda running: self._one(algorithm, running, updates, offset))(running)

        if self.devices == 1:
            return every(data, running)
        share = PartitionSpec("seed")
        shared = jax.shard_map(every, mesh=self._mesh, in_specs=(PartitionSpec(), share), out_specs=share, check_vma=False)
        return shared(data, running)

    def _one(
        self, algorithm: AbstractAlgorithm, running: ProgramState, updates: Any, offset: Any
    ) -> tuple[ProgramState, Metrics, Bool[Array, ""]]:
        every = self.log_every

        def update(_, carried):
            arrays, tally = carried
            state, outcome = algorithm.update(eqx.combine(arrays, self._static))
            return eqx.filter(state, eqx.is_array), jax.tree.map(jnp.add, tally, logged(outcome))

        def complete_row(carried):
            """Updates to the end of a row, which is then written: a write at each update would cost time."""
            done, arrays, tally, rows = carried
            end = jnp.minimum(updates, done + every - (offset + done) % every)
            arrays, tally = jax.lax.fori_loop(done, end, update, (arrays, tally))
            rows = jax.tree.map(lambda rows, leaf: rows.at[(offset + done) // every].set(leaf), rows, tally)
            complete = (offset + end) % every == 0
            return end, arrays, jax.tree.map(lambda leaf: jnp.where(complete, jnp.zeros_like(leaf), leaf), tally), rows

        rows = jax.tree.map(lambda leaf: jnp.zeros((ROWS, *leaf.shape), leaf.dtype).at[0].set(leaf), running.row)
        start = jnp.zeros_like(updates), running.state, running.row, rows
        _, arrays, tally, rows = jax.lax.while_loop(lambda carried: carried[0] < updates, complete_row, start)
        return ProgramState(arrays, tally), rows, _finite((eqx.filter(arrays, eqx.is_inexact_array), rows["losses/loss"]))


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _finite(tree: PyTree) -> Bool[Array, ""]:
    return jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]).all()
