"""The worker for braintrace: its UORO, and its exact real-time recurrent learning, on the same network and stream.

Its exact mode is `SnAp(n=2)`: for a dense recurrence all units are neighbours after one step, so nothing is left out
("saturation" in its words). Of its two modes, only `vjp_method="multi-step"` trains the readout, and does not count the
cell and the output of an LSTM twice. Parameters are updated by optax, which is faster than its own Adam.
"""

import warnings
from typing import Any

import brainstate
import braintrace
import jax
import jax.numpy as jnp
import numpy as np
import optax
from worker import answer, deviation, median_seconds

ESTIMATORS = {
    "UORO": (braintrace.UORO, {"vjp_method": "multi-step"}),
    "RTRL": (braintrace.SnAp, {"vjp_method": "multi-step", "n": 2}),
}


class GRUAfter(brainstate.nn.RNNCell):
    """The gated recurrent unit whose reset gate acts after the product, as in Farback and PyTorch, of braintrace's layers.

    braintrace's own `GRUCell` resets before the product.
    """

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.hidden = hidden
        self.reset, self.update_gate = (braintrace.nn.Linear(inputs + hidden, hidden) for _ in range(2))
        self.fresh, self.recalled = braintrace.nn.Linear(inputs, hidden), braintrace.nn.Linear(hidden, hidden)

    def init_state(self, *_, **__):
        self.h = brainstate.HiddenState(jnp.zeros(self.hidden))

    def reset_state(self, *_, **__):
        self.h.value = jnp.zeros(self.hidden)

    def update(self, x):
        h = self.h.value
        both = jnp.concatenate([x, h])
        r, z = jax.nn.sigmoid(self.reset(both)), jax.nn.sigmoid(self.update_gate(both))
        self.h.value = (1 - z) * jnp.tanh(self.fresh(x) + r * self.recalled(h)) + z * h
        return self.h.value


CELLS = {"GRU": braintrace.nn.GRUCell, "GRUAfter": GRUAfter, "LSTM": braintrace.nn.LSTMCell}


class Network(brainstate.nn.Module):
    """A recurrent cell and a linear readout."""

    def __init__(self, cell: str, symbols: int, hidden: int):
        super().__init__()
        self.cell, self.readout = CELLS[cell](symbols, hidden), braintrace.nn.Linear(hidden, symbols)

    def update(self, x):
        return self.readout(self.cell(x))


def make(estimator: str, cell: str, hidden: int, symbols: int, steps: int):
    """A network, its online learner, and uniformly random symbols: inputs and labels."""
    warnings.simplefilter("ignore")
    brainstate.random.seed(0)
    labels = jax.random.randint(jax.random.key(2), (steps + 1,), 0, symbols)
    x, y = jax.nn.one_hot(labels[:-1], symbols), labels[1:]
    network = Network(cell, symbols, hidden)
    algorithm, options = ESTIMATORS[estimator]
    return network, braintrace.compile(network, algorithm, x[0], **options), x, y


cross_entropy = optax.softmax_cross_entropy_with_integer_labels


def stream(estimator: str, cell: str, hidden: int, symbols: int, updates: int, seconds: float) -> dict[str, float]:
    """One update a step on uniformly random symbols that are drawn beforehand, all in one compiled program."""
    _, learner, x, y = make(estimator, cell, hidden, symbols, updates)
    weights, adam = learner.param_states, optax.adam(3e-3)
    optimizer = brainstate.ShortTermState(adam.init({name: state.value for name, state in weights.items()}))

    def update(x, y):
        gradient, loss = brainstate.transform.grad(lambda: cross_entropy(learner(x), y), weights, return_value=True)()
        values = {name: state.value for name, state in weights.items()}
        changes, optimizer.value = adam.update(dict(gradient), optimizer.value, values)
        for name, value in optax.apply_updates(values, changes).items():
            weights[name].value = value
        return loss

    train = brainstate.transform.jit(lambda: brainstate.transform.for_loop(update, x, y))
    taken = median_seconds(lambda: jax.block_until_ready(train()), seconds)
    return {"seconds": taken / updates, "loss": float(train().mean())}


def exactness(estimator: str, cell: str, hidden: int, symbols: int, steps: int, draws: int) -> dict[str, Any]:
    """The distance of the estimator's mean gradient from that of backpropagation, in double precision."""
    jax.config.update("jax_enable_x64", True)
    brainstate.environ.set(precision=64)
    network, learner, x, y = make(estimator, cell, hidden, symbols, steps)

    @brainstate.transform.jit
    def estimate(key):
        brainstate.nn.reset_all_states(network)
        learner.reset_state()
        if estimator == "UORO":
            learner.projection_rng.value = key
        return learner.etrace_grad(x, y, step_fn=lambda x, y: cross_entropy(learner(x), y))

    def mean_loss():
        return brainstate.transform.for_loop(lambda x, y: cross_entropy(network(x), y), x, y).mean()

    keys = jax.random.split(jax.random.key(3), draws)
    found = [_named(estimate(key)) for key in keys]
    brainstate.nn.reset_all_states(network)
    exact = _named(brainstate.transform.grad(mean_loss, network.states(brainstate.ParamState))())
    return deviation({name: np.stack([one[name] for one in found]) for name in exact}, exact)


def _named(gradient):
    return {
        ".".join([*path[:-1], str(key.key)]): np.asarray(leaf)
        for path, tree in gradient.items()
        for (key,), leaf in jax.tree.leaves_with_path(tree)
    }


if __name__ == "__main__":
    sizes = {"estimator": "UORO", "cell": "GRU", "hidden": 64, "symbols": 4}
    answer(
        {
            "stream": (stream, {**sizes, "updates": 1000, "seconds": 4.0}),
            "exactness": (exactness, {**sizes, "steps": 16, "draws": 1}),
        },
        "braintrace",
        "brainstate",
        "jax",
    )
