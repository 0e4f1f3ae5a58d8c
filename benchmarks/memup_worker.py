"""Memory trained on surprises: the time of an update, and of all from the first episode to a policy that remembers; and
that of a rival's gradient.
"""

import tempfile
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
from worker import answer, median_seconds

from engram.cell import AbstractCell, unroll
from engram.cells import GTrXL
from engram.papers.item import RETURN, Place
from engram.papers.mazes import Effort, Play, maze, remembering, solved
from engram.runs.listener import AbstractListener


def update(corridor: int, units: int, batch: int, window: int, seconds: float) -> dict[str, float]:
    """An update of a memory: its part of a pass, in which episodes are played, gone through and learnt from."""
    config = remembering(maze(corridor), "MemUP()", window, Effort(units, batch, 1), 1)
    trial = config.foreseeing()
    arrays, static = eqx.partition(trial.init(jax.random.key(0)), eqx.is_array)
    learn = jax.jit(lambda arrays: eqx.filter(trial.update(eqx.combine(arrays, static))[0], eqx.is_array))
    passed = median_seconds(lambda: jax.block_until_ready(learn(arrays)), seconds)
    return {"seconds": passed / trial.learner.windows(window)}


class Silent(AbstractListener):
    """Hears how a training goes, and says nothing."""

    def begin(self, program, update, updates):
        pass

    def progress(self, update, rows):
        pass

    def end(self):
        pass


def solve(corridor: int, units: int, batch: int, passes: int, rollouts: int) -> dict[str, float]:
    """A memory from its first episode on, and then a policy on what it holds; compiling included."""
    case = solved("", corridor, 1, Effort(units, batch, 1), passes, Play(32, 1, rollouts))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        measured = case.measure(Place(Path(home), 1, Silent, print, iter))
    return {"seconds": time.perf_counter() - start, "return": measured.rows[0][RETURN]}


class Stepwise(AbstractCell):
    """A cell that goes through a window step by step, whatever faster way it knows."""

    cell: AbstractCell

    def initial(self):
        return self.cell.initial()

    def __call__(self, state, x):
        return self.cell(state, x)


def attention(stepwise: int, units: int, layers: int, batch: int, steps: int, seconds: float) -> dict[str, float]:
    """The gradient of a window of a gated transformer that attends to all of it, at once or step by step."""
    inputs = 10
    cell = GTrXL(inputs, units, memory=steps, layers=layers, key=jax.random.key(0))
    model = Stepwise(cell) if stepwise else cell
    x = jax.random.normal(jax.random.key(1), (steps, batch, inputs))
    first, flow = jnp.zeros((steps, batch), bool).at[0].set(True), jnp.ones((steps, batch))
    state = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), cell.initial())

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(model):
        return jnp.mean(unroll(model, state, first, x, flow)[1] ** 2)

    return {"seconds": median_seconds(lambda: jax.block_until_ready(gradient(model)), seconds, least=2)}


if __name__ == "__main__":
    cases = {
        "update": (update, {"corridor": 1000, "units": 256, "batch": 64, "window": 1, "seconds": 20.0}),
        "attention": (attention, {"stepwise": 0, "units": 128, "layers": 4, "batch": 64, "steps": 120, "seconds": 4.0}),
        "solve": (solve, {"corridor": 1000, "units": 128, "batch": 64, "passes": 40, "rollouts": 60}),
    }
    answer(cases, "engram", "jax")
