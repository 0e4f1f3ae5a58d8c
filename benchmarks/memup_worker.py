"""Memory trained on surprises: the time of an update, and of all from the first episode to a policy that remembers."""

import tempfile
import time
from pathlib import Path

import equinox as eqx
import jax
from worker import answer, median_seconds

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


if __name__ == "__main__":
    cases = {
        "update": (update, {"corridor": 1000, "units": 256, "batch": 64, "window": 1, "seconds": 20.0}),
        "solve": (solve, {"corridor": 1000, "units": 128, "batch": 64, "passes": 40, "rollouts": 60}),
    }
    answer(cases, "engram", "jax")
