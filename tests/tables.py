"""The tables of cells and stacks: a new cell is one line here and is tested by every law."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from farback import cells
from farback.cells import Chain, Frozen, Parallel
from farback.network import Network
from farback.types import Tally, Window

INPUTS, UNITS, OUTPUTS = 3, 4, 2

# Each makes a cell of UNITS units and INPUTS inputs.
CELLS: dict[str, Callable] = {
    "Elman": lambda key: cells.Elman(INPUTS, UNITS, key=key),
    "Leaky": lambda key: cells.Leaky(INPUTS, UNITS, key=key),
    "Gated": lambda key: cells.Gated(INPUTS, UNITS, key=key),
    "GRU": lambda key: cells.GRU(INPUTS, UNITS, key=key),
    "ReLUGRU": lambda key: cells.ReLUGRU(INPUTS, UNITS, key=key),
    "LSTM": lambda key: cells.LSTM(INPUTS, UNITS, key=key),
    "MinGRU": lambda key: cells.MinGRU(INPUTS, UNITS, key=key),
    "LRU": lambda key: cells.LRU(INPUTS, UNITS, key=key),
    "RTU": lambda key: cells.RTU(INPUTS, UNITS, key=key),
    "NonlinearRTU": lambda key: cells.NonlinearRTU(INPUTS, UNITS, key=key),
    "ELSTM": lambda key: cells.ELSTM(INPUTS, UNITS, key=key),
    "SRNN": lambda key: cells.SRNN(INPUTS, UNITS, width=6, key=key),
    "AMRL": lambda key: cells.AMRL(INPUTS, UNITS, key=key),
    "AMRL-avg": lambda key: cells.AMRL(INPUTS, UNITS, "avg", key=key),
    "AMRL-sum": lambda key: cells.AMRL(INPUTS, UNITS, "sum", key=key),
    "AMRL-plain": lambda key: cells.AMRL(INPUTS, UNITS, "max", straight_through=False, key=key),
    "GTrXL": lambda key: cells.GTrXL(INPUTS, UNITS, memory=2, layers=1, heads=1, width=6, key=key),
    "DeltaNet": lambda key: cells.DeltaNet(INPUTS, heads=2, keys=3, values=2, key=key),
    "WeightNorm": lambda key: cells.WeightNorm(cells.GRU(INPUTS, UNITS, key=key)),
    "WeightNorm-LSTM": lambda key: cells.WeightNorm(cells.LSTM(INPUTS, UNITS, key=key)),
}

# The cells with a diagonal state Jacobian.
DIAGONAL = ["MinGRU", "LRU", "RTU", "NonlinearRTU", "ELSTM"]


def stack(*kinds):
    """Recurrent layers with a linear map between them."""

    def make(key):
        layers, inputs = [], INPUTS
        for kind in kinds:
            key, cell_key, map_key = jax.random.split(key, 3)
            layers.append(kind(inputs, UNITS, key=cell_key))
            layers += [eqx.nn.Linear(UNITS, UNITS, key=map_key), jnp.tanh]
            inputs = UNITS
        return Chain(*layers)

    return make


# The cells without a state.
MEMORYLESS: dict[str, Callable] = {"MLP": lambda key: cells.MLP(INPUTS, UNITS, key=key)}

STACKS: dict[str, Callable] = {
    "GRU-GRU": stack(cells.GRU, cells.GRU),
    "LSTM-Elman-GRU": stack(cells.LSTM, cells.Elman, cells.GRU),
    "GRU-LSTM": stack(cells.GRU, cells.LSTM),
    "LRU-LRU": stack(cells.LRU, cells.LRU),
    "MinGRU-Elman": stack(cells.MinGRU, cells.Elman),
    "Linear-GRU": lambda key: Chain(eqx.nn.Linear(INPUTS, INPUTS, key=key), cells.GRU(INPUTS, UNITS, key=key)),
    "FrameStack-DeltaNet": lambda key: Chain(cells.FrameStack(INPUTS), cells.DeltaNet(2 * INPUTS, 1, 3, UNITS, key=key)),
    "SkipConcat": lambda key: cells.SkipConcat(cells.GRU(INPUTS, UNITS, key=key), stop_gradient=False),
    "Parallel": lambda key: Chain(
        Parallel(cells.GRU(INPUTS, UNITS, key=key), cells.Elman(INPUTS, 3, key=key)), jnp.concatenate
    ),
}


# Cells with frozen parts. No gradient passes through a frozen part.
FROZEN: dict[str, Callable] = {
    "Frozen-GRU": lambda key: Chain(
        Frozen(cells.GRU(INPUTS, 3, key=key)), cells.GRU(3, UNITS, key=jax.random.fold_in(key, 3))
    ),
    "Frozen-LRU": lambda key: Chain(
        Frozen(cells.GRU(INPUTS, 3, key=key)), cells.LRU(3, UNITS, key=jax.random.fold_in(key, 3))
    ),
    "SkipConcat-Frozen-GRU": lambda key: Chain(
        cells.SkipConcat(Frozen(cells.LSTM(INPUTS, 3, key=key))),
        cells.GRU(INPUTS + 3, UNITS, key=jax.random.fold_in(key, 3)),
    ),
}


def model_of(make: Callable, key) -> Network:
    """A network of a cell and a linear head."""
    cell = make(key)
    width = jax.eval_shape(lambda: cell(cell.initial(), jnp.zeros(INPUTS))[1]).shape[0]
    return Network(eqx.nn.Identity(), cell, eqx.nn.Linear(width, OUTPUTS, key=jax.random.fold_in(key, 1)))


def squared_error(output, target):
    """A loss of each step."""
    error = jnp.sum((output - target) ** 2)
    return error, {"error": Tally(error, jnp.ones_like(error))}


def last_step_error(output, targets):
    """A loss of the steps whose weight is not 0."""
    target, weight = targets
    return weight * jnp.sum((output - target) ** 2), {}


def random_window(key, batch=2, steps=6, resets=True) -> Window:
    """Random inputs and targets. With `resets`, an episode begins within the window, at another step in each example."""
    keys = jax.random.split(key, 3)
    later = (jnp.arange(batch) + steps // 2) % steps
    within = resets & (jnp.arange(steps)[None] == later[:, None])
    return Window(
        (jnp.arange(steps) == 0)[None] | within,
        jax.random.normal(keys[1], (batch, steps, INPUTS)),
        jax.random.normal(keys[2], (batch, steps, OUTPUTS)),
    )


def pieces(window: Window, length: int) -> list[Window]:
    """The consecutive windows of `length` steps that make up a window."""
    steps = window.first.shape[1]
    cuts = [slice(at, at + length) for at in range(0, steps, length)]
    return [jax.tree.map(lambda leaf, cut=cut: leaf[:, cut], window) for cut in cuts]


@eqx.filter_jit
def gradient_over(estimator, step, model, windows, key):
    """The gradient of the mean loss of consecutive windows at fixed parameters, and that loss."""
    dynamic, static = eqx.partition(estimator.init(step, model, windows[0]), eqx.is_array)

    def one(running, window):
        dynamic, key = running
        key, now = jax.random.split(key)
        gradient, carry, outcome = estimator.gradient(step, model, eqx.combine(dynamic, static), window, now)
        return (eqx.filter(carry, eqx.is_array), key), (gradient, outcome.loss)

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *windows)
    _, found = jax.lax.scan(one, (dynamic, key), stacked)
    return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), found)


def distances(gradient, exact) -> dict[str, float]:
    """The relative distance of each leaf of a gradient from the exact leaf, which must not vanish."""
    found = {}
    for (path, leaf), reference in zip(jax.tree.leaves_with_path(gradient), jax.tree.leaves(exact), strict=True):
        name, scale = jax.tree_util.keystr(path), np.linalg.norm(np.asarray(reference))
        assert scale > 0, f"the exact gradient of {name} vanishes: the law would be empty"
        found[name] = float(np.linalg.norm(np.asarray(leaf) - np.asarray(reference)) / scale)
    return found


def flat(tree):
    """All numbers of a tree."""
    return ravel_pytree(tree)[0]
