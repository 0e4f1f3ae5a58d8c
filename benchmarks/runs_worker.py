"""The overhead of a run (log, progress, checkpoints), and the cost of more seeds."""

import tempfile
import time
from pathlib import Path

import jax
from worker import answer

from farback import Config, configure
from farback.runs.listener import AbstractListener
from farback.runs.loop import train


class Stopwatch(AbstractListener):
    """The time from the first progress report to the last."""

    def begin(self, program, update, updates):
        self.times = []

    def progress(self, update, rows):
        self.times.append((time.perf_counter(), update))

    def end(self):
        pass

    @property
    def seconds_per_update(self) -> float:
        (start, before), (end, after) = self.times[0], self.times[-1]
        return (end - start) / (after - before)


def configuration(estimator: str, cell: str, batch: int, length: int, seeds: int, updates: int) -> Config:
    return configure(
        "supervised",
        task="AnBn(1, 32)",
        cell=cell,
        estimator=estimator,
        optimizer="adam(1e-3)",
        batch_size=batch,
        window=length,
        total_steps=batch * length * updates,
        seeds=seeds,
        log_every=-(-updates // 500),
    )


def run(estimator: str, cell: str, batch: int, length: int, seeds: int, updates: int) -> dict[str, float]:
    """One update of a whole run, with the default log and checkpoints."""
    config = configuration(estimator, cell, batch, length, seeds, updates)
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as directory:
        train(config.program(), Path(directory), config.updates, listeners=[watch])
    return {"seconds": watch.seconds_per_update}


def bare(estimator: str, cell: str, batch: int, length: int, seeds: int, updates: int) -> dict[str, float]:
    """One update of the same compiled program, called without log and checkpoints."""
    program = configuration(estimator, cell, batch, length, seeds, updates).program()
    running, _, _ = jax.block_until_ready(program.advance(program.init(), 1, 0))
    start, done = time.perf_counter(), 0
    while done < updates:
        count = min(updates - done, program.room(done))
        running, _, _ = jax.block_until_ready(program.advance(running, count, done))
        done += count
    return {"seconds": (time.perf_counter() - start) / updates}


if __name__ == "__main__":
    sizes = {"estimator": "UORO()", "cell": "GRU(64)", "batch": 1, "length": 1, "seeds": 1, "updates": 600_000}
    answer({"run": (run, sizes), "bare": (bare, sizes)}, "farback", "jax")
