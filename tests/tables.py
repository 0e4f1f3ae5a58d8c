"""The tables of implementations: a new cell or estimator is one line here, and inherits every law."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

import engram
from engram.cells import Chain, Parallel
from engram.types import Tally, Window

INPUTS, UNITS, OUTPUTS = 3, 4, 2

# Each makes a cell of UNITS units that sees INPUTS inputs.
CELLS: dict[str, Callable] = {
    "Elman": lambda key: engram.Elman(INPUTS, UNITS, key=key),
    "Leaky": lambda key: engram.Leaky(INPUTS, UNITS, key=key),
    "Gated": lambda key: engram.Gated(INPUTS, UNITS, key=key),
    "GRU": lambda key: engram.GRU(INPUTS, UNITS, key=key),
    "ReLUGRU": lambda key: engram.ReLUGRU(INPUTS, UNITS, key=key),
    "LSTM": lambda key: engram.LSTM(INPUTS, UNITS, key=key),
    "MinGRU": lambda key: engram.MinGRU(INPUTS, UNITS, key=key),
    "LRU": lambda key: engram.LRU(INPUTS, UNITS, key=key),
    "RTU": lambda key: engram.RTU(INPUTS, UNITS, key=key),
    "NonlinearRTU": lambda key: engram.NonlinearRTU(INPUTS, UNITS, key=key),
    "ELSTM": lambda key: engram.ELSTM(INPUTS, UNITS, key=key),
    "SRNN": lambda key: engram.SRNN(INPUTS, UNITS, width=6, key=key),
    "AMRL": lambda key: engram.AMRL(INPUTS, UNITS, key=key),
    "AMRL-avg": lambda key: engram.AMRL(INPUTS, UNITS, "avg", key=key),
    "AMRL-sum": lambda key: engram.AMRL(INPUTS, UNITS, "sum", key=key),
    "AMRL-plain": lambda key: engram.AMRL(INPUTS, UNITS, "max", straight_through=False, key=key),
    "GTrXL": lambda key: engram.GTrXL(INPUTS, UNITS, memory=2, layers=1, heads=1, width=6, key=key),
    "DeltaNet": lambda key: engram.DeltaNet(INPUTS, heads=2, keys=3, values=2, key=key),
    "WeightNorm": lambda key: engram.WeightNorm(engram.GRU(INPUTS, UNITS, key=key)),
    "WeightNorm-LSTM": lambda key: engram.WeightNorm(engram.LSTM(INPUTS, UNITS, key=key)),
}

# Those whose units never meet in the state.
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


# Those that remember nothing, and have no state.
MEMORYLESS: dict[str, Callable] = {"Perceptron": lambda key: engram.Perceptron(INPUTS, UNITS, key=key)}

STACKS: dict[str, Callable] = {
    "GRU-GRU": stack(engram.GRU, engram.GRU),
    "LSTM-Elman-GRU": stack(engram.LSTM, engram.Elman, engram.GRU),
    "GRU-LSTM": stack(engram.GRU, engram.LSTM),
    "LRU-LRU": stack(engram.LRU, engram.LRU),
    "MinGRU-Elman": stack(engram.MinGRU, engram.Elman),
    "Linear-GRU": lambda key: Chain(eqx.nn.Linear(INPUTS, INPUTS, key=key), engram.GRU(INPUTS, UNITS, key=key)),
    "Recent-DeltaNet": lambda key: Chain(engram.Recent(INPUTS), engram.DeltaNet(2 * INPUTS, 1, 3, UNITS, key=key)),
    "Alongside": lambda key: engram.Alongside(engram.GRU(INPUTS, UNITS, key=key), learns=True),
    "Parallel": lambda key: Chain(
        Parallel(engram.GRU(INPUTS, UNITS, key=key), engram.Elman(INPUTS, 3, key=key)), jnp.concatenate
    ),
}


def model_of(make: Callable, key) -> Chain:
    """A recurrent part followed by a linear readout."""
    cell = make(key)
    width = jax.eval_shape(lambda: cell(cell.initial(), jnp.zeros(INPUTS))[1]).shape[0]
    return Chain(cell, eqx.nn.Linear(width, OUTPUTS, key=jax.random.fold_in(key, 1)))


def squared_error(output, target):
    """A loss on each step."""
    error = jnp.sum((output - target) ** 2)
    return error, {"error": Tally(error, jnp.ones_like(error))}


def last_step_error(output, targets):
    """A loss on the steps that carry a flag."""
    target, charged = targets
    return charged * jnp.sum((output - target) ** 2), {}


def random_window(key, batch=2, steps=6, resets=True) -> Window:
    """Random inputs and targets; with `resets`, an episode begins within the window, for each example at another step."""
    keys = jax.random.split(key, 3)
    later = (jnp.arange(batch) + steps // 2) % steps
    within = resets & (jnp.arange(steps)[None] == later[:, None])
    return Window(
        (jnp.arange(steps) == 0)[None] | within,
        jax.random.normal(keys[1], (batch, steps, INPUTS)),
        jax.random.normal(keys[2], (batch, steps, OUTPUTS)),
    )


def pieces(window: Window, length: int) -> list[Window]:
    """The window, cut into consecutive ones."""
    steps = window.first.shape[1]
    cuts = [slice(at, at + length) for at in range(0, steps, length)]
    return [jax.tree.map(lambda leaf, cut=cut: leaf[:, cut], window) for cut in cuts]


@eqx.filter_jit
def gradient_over(estimator, step, model, windows, key):
    """The gradient of the mean loss over consecutive windows, at frozen parameters, and that loss."""
    carry = estimator.init(step, model, windows[0])
    total, loss = None, 0.0
    for window in windows:
        key, now = jax.random.split(key)
        gradient, carry, outcome = estimator.gradient(step, model, carry, window, now)
        total = gradient if total is None else jax.tree.map(jnp.add, total, gradient)
        loss += outcome.loss
    return jax.tree.map(lambda leaf: leaf / len(windows), total), loss / len(windows)


def distances(gradient, exact) -> dict[str, float]:
    """The relative distance of each leaf of a gradient from the exact one; each exact leaf must not vanish."""
    found = {}
    for (path, leaf), reference in zip(jax.tree.leaves_with_path(gradient), jax.tree.leaves(exact), strict=True):
        name, scale = jax.tree_util.keystr(path), jnp.linalg.norm(reference.ravel())
        assert scale > 0, f"the exact gradient of {name} vanishes: the law would be empty"
        found[name] = float(jnp.linalg.norm((leaf - reference).ravel()) / scale)
    return found


def flat(tree):
    """All numbers of a tree."""
    return ravel_pytree(tree)[0]
