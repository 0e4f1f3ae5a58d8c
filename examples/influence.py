"""Influence balancing: truncated backpropagation misses the optimum, and UORO finds it.

A parameter θ pushes ten units up and thirteen down. Its positive effect reaches the observed unit first, and its negative
effect later and for longer. A window of 10 steps has the positive effect only, so truncation to 10 steps increases θ
without end. A window of 100 steps has most of both, and θ passes the optimum and drifts on.

The cell is defined here, in a few lines; every estimator works with it. Reference: thesis section 3.7, fig. 3.2a.
"""

import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import farback
from farback.estimators import RTRL, TBPTT, UORO
from farback.reports.figures import draw_curves

UNITS, MINUS, STEPS = 23, 13, 100_000


class Influence(farback.AbstractCell):
    """s′ = A s + θ (1, ..., 1, −1, ..., −1), with A bidiagonal; the output is the first unit."""

    theta: jax.Array

    def initial(self):
        return jnp.ones(UNITS)

    def __call__(self, state, x):
        sign = jnp.where(jnp.arange(UNITS) < UNITS - MINUS, 1.0, -1.0)
        state = 0.5 * (state + jnp.append(state[1:], 0.0)) + self.theta * sign
        return state, state[0]


def learn(estimator, length):
    """Returns `(θ, losses)`: the last θ, and the mean loss so far at the end of each window."""
    step = farback.NetworkStep(lambda output, target: (0.5 * (output - target) ** 2, {}))
    zeros = jnp.zeros((1, length))
    window = farback.Window(zeros.astype(bool), zeros, jnp.ones((1, length)))
    # Plain gradient descent on the sum over each window, η = 3e-4 / (1 + √t).
    optimizer = optax.sgd(lambda count: length * 3e-4 / (1 + jnp.sqrt(count * length)))

    @eqx.filter_jit
    def run(network, key):
        def update(running, key):
            network, carry, state = running
            gradient, carry, outcome = estimator.gradient(step, network, carry, window, key)
            change, state = optimizer.update(gradient, state)
            return (eqx.apply_updates(network, change), carry, state), outcome.loss

        running = (network, estimator.init(step, network, window), optimizer.init(network))
        (network, _, _), losses = jax.lax.scan(update, running, jax.random.split(key, STEPS // length))
        return network.memory.theta, losses

    network = farback.Network(eqx.nn.Identity(), Influence(jnp.array(0.5)), eqx.nn.Identity())
    theta, losses = run(network, jax.random.key(0))
    return float(theta), np.cumsum(losses) / np.arange(1, len(losses) + 1)


def verdict(theta: float) -> str:
    """Describes θ at the end; it starts at 0.5."""
    if abs(theta + 1 / 6) < 0.01:
        return "converged"
    return "wrong direction" if theta > 0.5 else "not converged"


def main(folder: Path) -> None:
    """Trains with each estimator, prints θ, and draws the losses."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = {
        "TBPTT(10)": (TBPTT(10), 10),
        "TBPTT(100)": (TBPTT(100), 100),
        "RTRL()": (RTRL(), 1),
        "UORO()": (UORO(), 1),
    }
    curves = {}
    print(f"{'estimator':<12} {'θ at the end':>14}   (the optimum is −1/6 = −0.1667)")
    for name, (estimator, length) in runs.items():
        theta, loss = learn(estimator, length)
        at = np.minimum(np.arange(100, STEPS + 1, 100) // length, len(loss)) - 1
        curves[name] = np.clip(loss[np.maximum(at, 0)], None, 1e6)
        print(f"{name:<12} {theta:>14.4g}   {verdict(theta)}")
    picture = folder / "influence.png"
    labels = ("step", "mean loss so far")
    draw_curves(curves, np.arange(100, STEPS + 1, 100), {}, labels, "Influence balancing", picture, log=True)
    print(f"Drawn: {picture}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
