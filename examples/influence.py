"""A stream on which truncated backpropagation goes the wrong way, however small its steps, and UORO the right way.

A parameter θ pushes ten units up and thirteen down; its good reaches the observed unit first, its harm later and for
longer. Whoever looks back only a little sees the good alone, and pushes θ without end.

The cell is our own, eleven lines; every estimator serves it. Reference: thesis section 3.7, fig. 3.2a.
"""

import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import engram
from engram.reports.figures import draw_curves

UNITS, MINUS, STEPS = 23, 13, 100_000


class Influence(engram.AbstractCell):
    """s′ = A s + θ (1, ..., 1, −1, ..., −1), with A bidiagonal; the output is the first unit."""

    theta: jax.Array

    def initial(self):
        return jnp.ones(UNITS)

    def __call__(self, state, x):
        sign = jnp.where(jnp.arange(UNITS) < UNITS - MINUS, 1.0, -1.0)
        state = 0.5 * (state + jnp.append(state[1:], 0.0)) + self.theta * sign
        return state, state[0]


def learn(estimator, length):
    """The mean loss so far, at each of the stream's steps that end a window, and the last θ."""
    step = engram.Supervised(lambda output, target: (0.5 * (output - target) ** 2, {}))
    zeros = jnp.zeros((1, length))
    window = engram.Window(zeros.astype(bool), zeros, jnp.ones((1, length)))
    # Plain gradient descent on the sum over each window, η = 3e-4 / (1 + √t).
    optimiser = optax.sgd(lambda count: length * 3e-4 / (1 + jnp.sqrt(count * length)))

    @eqx.filter_jit
    def run(model, key):
        def update(running, key):
            model, carry, memory = running
            gradient, carry, outcome = estimator.gradient(step, model, carry, window, key)
            change, memory = optimiser.update(gradient, memory)
            return (eqx.apply_updates(model, change), carry, memory), outcome.loss

        running = (model, estimator.init(step, model, window), optimiser.init(model))
        (model, _, _), losses = jax.lax.scan(update, running, jax.random.split(key, STEPS // length))
        return model.theta, losses

    theta, losses = run(Influence(jnp.array(0.5)), jax.random.key(0))
    return float(theta), np.cumsum(losses) / np.arange(1, len(losses) + 1)


def verdict(theta: float) -> str:
    """What became of θ, which began at 0.5."""
    if abs(theta + 1 / 6) < 0.01:
        return "converged"
    return "went the wrong way" if theta > 0.5 else "is not there"


def main(folder: Path) -> None:
    """Learns with each estimator, prints where θ went, and draws the losses."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = {
        "TBPTT(10)": (engram.TBPTT(10), 10),
        "TBPTT(100)": (engram.TBPTT(100), 100),
        "RTRL()": (engram.RTRL(), 1),
        "UORO()": (engram.UORO(), 1),
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
