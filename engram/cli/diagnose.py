"""`engram diagnose`."""

import dataclasses
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from engram.cells import Chain
from engram.cli.console import Json, say, show_table
from engram.estimators import AbstractEstimator
from engram.reports.diagnosis import Diagnosis, diagnose, reach
from engram.reports.figures import check_picture, draw_reach
from engram.runs.spec import build, build_all, build_cell
from engram.step import Supervised
from engram.tasks import AbstractTask
from engram.types import InputError


@dataclasses.dataclass(frozen=True)
class Diagnose:
    """Measure bias, variance, cosine, time and memory of estimators on a cell and a task, at its initial parameters.

    Two examples that work:
      engram diagnose --task 'AnBn(1, 8)' --cell 'GRU(12)' --estimators 'BPTT(), RTRL(), UORO(), ARTBP(8), TBPTT(2)'

      engram diagnose --cell 'Chain(LSTM(16), LRU(16))' --estimators 'RTRL(), UORO(rank=4)' --plot reach.png
    """

    task: str = "AnBn(1, 8)"
    """The task, as an expression."""
    cell: str = "GRU(12)"
    """The recurrent part of the model, as an expression without its input size; a linear readout follows it."""
    estimators: str = "BPTT(), TBPTT(2), ARTBP(8), RTRL(), SnAp(1), KFRTRL(), UORO()"
    """The estimators, separated by commas."""
    steps: int = 64
    """The length of the window."""
    batch: int = 4
    """The number of sequences in it."""
    draws: int = 256
    """How often a random estimator is drawn."""
    seed: int = 0
    """The seed of parameters, data and draws."""
    plot: Path | None = None
    """Where to draw how far credit reaches, as a picture (.png, .svg or .pdf)."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        for name, value, least in (("steps", self.steps, 3), ("batch", self.batch, 1)):
            if value < least:
                raise InputError(f"--{name} {value}: give {least} at least.")
        if self.plot is not None:
            check_picture(self.plot)
        task = build(self.task, AbstractTask)
        estimators = build_all(self.estimators, AbstractEstimator)
        cell_key, readout_key, data_key, draw_key = jax.random.split(jax.random.key(self.seed), 4)
        cell, width = build_cell(self.cell, task.input_size, key=cell_key)
        model = Chain(cell, eqx.nn.Linear(width, task.output_size, key=readout_key))
        _, window = task.window(task.sources(self.batch, data_key), self.steps)
        step = Supervised(task.loss)
        found = diagnose(step, model, window, estimators, draws=self.draws, key=draw_key)
        norms = reach(step, model, window)
        show(found, f"{self.cell} on {self.task}, {self.batch} sequences of {self.steps} steps")
        if self.plot is not None:
            draw_reach(norms, f"How far credit reaches: {self.cell} on {self.task}", self.plot)
            say(f"Drawn: {self.plot}")
        return {"estimators": [vars(one) for one in found], "reach": [float(norm) for norm in norms]}


def show(found: list[Diagnosis], title: str) -> None:
    """Shows a table of diagnoses."""
    rows = [
        (
            one.estimator,
            f"< {2 * one.bias_floor:.2g}" if one.bias < 2 * one.bias_floor else f"{one.bias:.2g}",
            f"{one.variance:.3g}",
            f"{one.cosine:.3f}",
            f"{one.seconds_per_step * 1e6:.1f}",
            f"{one.bytes / 1024:.0f} KiB",
            f"{one.compile_seconds:.1f} s",
        )
        for one in found
    ]
    columns = ("estimator", "bias", "variance", "cosine", "µs/step", "memory", "compile")
    caption = "bias: ‖E ĝ − g‖ / ‖g‖ · variance: relative, eq. (3.22) · memory: activations and traces"
    show_table(title, columns, rows, caption)
