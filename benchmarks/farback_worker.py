"""The worker for Farback."""

import time
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from worker import answer, deviation, median_seconds, peak_bytes

from farback import AbstractEstimator, AbstractTask, Network, NetworkStep, Supervised, Window, cells
from farback.estimators import BPTT, Sharded
from farback.runs.kinds import build
from farback.tasks.base import classification

INPUTS = OUTPUTS = 10


class UniformSymbols(AbstractTask):
    """Prediction of the next symbol in an endless sequence of independent, uniformly random symbols."""

    symbols: int

    input_size = property(lambda self: self.symbols)
    output_size = property(lambda self: self.symbols)
    optimum = memoryless = property(lambda self: float(np.log(self.symbols)))

    def begin(self, key):
        return key, jnp.zeros((), int)

    def emit(self, source):
        key, symbol = source
        key, draw = jax.random.split(key)
        following = jax.random.randint(draw, (), 0, self.symbols, int)
        return (key, following), Window(jnp.array(False), jax.nn.one_hot(symbol, self.symbols), following)

    def loss(self, output, targets):
        return classification(output, targets, jnp.ones_like(output, shape=()))


def make_network(cell: str, inputs: int, hidden: int, outputs: int) -> Network:
    """A recurrent cell and a linear readout."""
    cell_key, readout_key = jax.random.split(jax.random.key(0))
    memory = getattr(cells, cell)(inputs, hidden, key=cell_key)
    return Network(eqx.nn.Identity(), memory, eqx.nn.Linear(hidden, outputs, key=readout_key))


def regression(cell: str, hidden: int, batch: int, steps: int, estimator: AbstractEstimator):
    """One compiled update of a window (backpropagation, then Adam; mean squared error on every step), and its arguments.

    The update is `(parameters, optimizer, carry, window) -> (parameters, optimizer, carry, loss)`, and donates the first
    three.
    """
    parameters, rest = eqx.partition(make_network(cell, INPUTS, hidden, OUTPUTS), eqx.is_inexact_array)
    step = NetworkStep(lambda output, target: (jnp.mean((output - target) ** 2), {}))
    x, y = (jax.random.normal(jax.random.key(seed), (batch, steps, INPUTS)) for seed in (1, 2))
    window = Window(jnp.zeros((batch, steps), bool), x, y)
    adam = optax.adam(1e-3)

    def update(parameters, optimizer, carry, window):
        model = eqx.combine(parameters, rest)
        gradient, carry, outcome = estimator.gradient(step, model, carry, window, jax.random.key(0))
        changes, optimizer = adam.update(gradient, optimizer, parameters)
        return optax.apply_updates(parameters, changes), optimizer, carry, outcome.loss

    arguments = (parameters, adam.init(parameters), estimator.init(step, eqx.combine(parameters, rest), window), window)
    return jax.jit(update, donate_argnums=(0, 1, 2)).lower(*arguments).compile(), arguments


def bptt(cell: str, hidden: int, batch: int, steps: int, devices: int, seconds: float) -> dict[str, float]:
    """One update: a window forwards and backwards, and Adam; the batch is shared by several CPU devices."""
    jax.config.update("jax_num_cpu_devices", devices)
    estimator = BPTT() if devices == 1 else Sharded(BPTT(), devices)
    update, (*running, window) = regression(cell, hidden, batch, steps, estimator)

    def run():
        nonlocal running
        *running, loss = jax.block_until_ready(update(*running, window))
        return loss

    taken = median_seconds(run, seconds)
    return {"seconds": taken, "tokens_per_second": batch * steps / taken}


def segments(cell: str, hidden: int, batch: int, steps: int, segmented: int, execute: int) -> dict[str, float]:
    """The memory of one update of a long window, with O(√T) states stored (segmented=1) or all of them (0)."""
    update, arguments = regression(cell, hidden, batch, steps, BPTT(segmented=bool(segmented)))
    sizes = update.memory_analysis()
    program = sizes.temp_size_in_bytes + sizes.argument_size_in_bytes + sizes.output_size_in_bytes
    found = {"program_bytes": program - sizes.alias_size_in_bytes}
    if execute:
        found["seconds"] = _seconds(lambda: update(*arguments))
        found["peak_bytes"] = peak_bytes()
    return found


def _seconds(run):
    """The time of one run."""
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start


def stream_learner(estimator: str, cell: str, hidden: int, symbols: int):
    """A learner of uniformly random symbols, one at a time, and its state."""

    def network(task, *, key):
        del task, key
        return make_network(cell, symbols, hidden, symbols)

    learner = Supervised(
        UniformSymbols(symbols), network, build(estimator, AbstractEstimator), optax.adam(3e-3), batch_size=1, window=1
    )
    return learner, learner.init(jax.random.key(1))


def stream(estimator: str, cell: str, hidden: int, symbols: int, updates: int, seconds: float) -> dict[str, float]:
    """One update per step on uniformly random symbols, drawn step by step; `updates` of them in one compiled program."""
    learner, state = stream_learner(estimator, cell, hidden, symbols)
    loss = 0.0

    def run():
        nonlocal state, loss
        state, outcomes = jax.block_until_ready(learner.train(state, updates))
        loss = outcomes.loss.mean()

    taken = median_seconds(run, seconds)
    return {"seconds": taken / updates, "loss": float(loss)}


def memory(estimator: str, cell: str, hidden: int, symbols: int, updates: int, chunk: int) -> dict[str, float]:
    """The peak memory of a process that makes `updates` updates, one per step, in one compiled program."""
    learner, state = stream_learner(estimator, cell, hidden, symbols)
    dynamic, static = eqx.partition(state, eqx.is_array)

    def some(dynamic, _):
        state, outcomes = learner.train(eqx.combine(dynamic, static), chunk)
        return eqx.filter(state, eqx.is_array), outcomes.loss.mean()

    @partial(jax.jit, static_argnums=1)
    def train(running, chunks):
        return jax.lax.scan(some, running, None, chunks)[1][-1]

    jax.block_until_ready(train(dynamic, updates // chunk))
    return {"peak_bytes": peak_bytes()}


def exactness(estimator: str, cell: str, hidden: int, symbols: int, steps: int, draws: int) -> dict[str, Any]:
    """The distance of the estimator's mean gradient from that of backpropagation, in double precision."""
    jax.config.update("jax_enable_x64", True)
    task, model = UniformSymbols(symbols), make_network(cell, symbols, hidden, symbols)
    step = NetworkStep(task.loss)
    _, window = task.window(task.sources(1, jax.random.key(2)), steps)

    @eqx.filter_jit
    def gradient(estimator, key):
        return estimator.gradient(step, model, estimator.init(step, model, window), window, key)[0]

    def named(tree):
        return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(tree)}

    keys = jax.random.split(jax.random.key(3), draws)
    found = [named(gradient(build(estimator, AbstractEstimator), key)) for key in keys]
    return deviation({name: np.stack([one[name] for one in found]) for name in found[0]}, named(gradient(BPTT(), keys[0])))


if __name__ == "__main__":
    regressing = {"cell": "LSTM", "hidden": 128, "batch": 32, "steps": 100}
    streaming = {"estimator": "UORO()", "cell": "GRU", "hidden": 64, "symbols": 4}
    answer(
        {
            "bptt": (bptt, {**regressing, "devices": 1, "seconds": 4.0}),
            "segments": (segments, {**regressing, "segmented": 1, "execute": 1}),
            "stream": (stream, {**streaming, "updates": 1000, "seconds": 4.0}),
            "memory": (memory, {**streaming, "updates": 1000, "chunk": 1000}),
            "exactness": (exactness, {**streaming, "steps": 16, "draws": 1}),
        },
        "jax",
        "equinox",
        "optax",
    )
