"""`farback diagnose`."""

import dataclasses
from typing import Annotated, Any

import jax

from farback.cli.arguments import OptionalPath, Whole, optional
from farback.cli.console import Json, say, show_table
from farback.estimators import AbstractEstimator
from farback.learner import ReadoutNetwork
from farback.network import NetworkStep
from farback.reports.diagnosis import Diagnosis, credit_reach, diagnose
from farback.reports.figures import check_picture, draw_reach
from farback.runs.config import load_part
from farback.runs.kinds import CellExpression, EncoderExpression, build, build_all
from farback.tasks import AbstractTask
from farback.types import InputError


@dataclasses.dataclass(frozen=True)
class Diagnose:
    """Measure the bias, variance, cosine, time and memory of estimators on a cell and a task, at initial parameters.

    Two examples that work:
      farback diagnose --task 'AnBn(1, 8)' --cell 'GRU(12)' --estimators 'BPTT(), RTRL(), UORO(), ARTBP(8), TBPTT(2)'
      farback diagnose --cell 'Chain(LSTM(16), LRU(16))' --estimators 'RTRL(), UORO(rank=4)' --plot reach.png
    """

    task: str = "AnBn(1, 8)"
    """The task, as an expression."""
    cell: str = "GRU(12)"
    """The cell, as an expression; a linear readout follows it."""
    encoder: Annotated[str | None, optional("STR")] = None
    """The encoder before the cell, as an expression; by default, the cell receives the task's inputs."""
    estimators: str = "BPTT(), TBPTT(2), ARTBP(8), RTRL(), SnAp(1), KFRTRL(), UORO()"
    """The estimators, separated by commas."""
    steps: Whole = 64
    """The time steps of the window."""
    batch_size: Whole = 4
    """The number of sequences in the window."""
    draws: Whole = 256
    """The number of draws of a random estimator."""
    seed: Whole = 0
    """The seed of parameters, data and draws."""
    plot: OptionalPath = None
    """Draw how far credit reaches to this file (.png, .svg or .pdf)."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        for name, value, least in (("steps", self.steps, 3), ("batch-size", self.batch_size, 1)):
            if value < least:
                raise InputError(f"--{name} {value}: give {least} or more.")
        if self.plot is not None:
            check_picture(self.plot)
        task = build(self.task, AbstractTask)
        estimators = build_all(self.estimators, AbstractEstimator)
        network_key, data_key, draw_key = jax.random.split(jax.random.key(self.seed), 3)
        encoder = None if self.encoder is None else EncoderExpression(self.encoder, load_part)
        network = ReadoutNetwork(CellExpression(self.cell, load_part), encoder)(task, key=network_key)
        _, window = task.window(task.sources(self.batch_size, data_key), self.steps)
        step = NetworkStep(task.loss)
        found = diagnose(step, network, window, estimators, draws=self.draws, key=draw_key)
        norms = credit_reach(step, network, window)
        show(found, f"{self.cell} on {self.task}, {self.batch_size} sequences of {self.steps} steps")
        if self.plot is not None:
            draw_reach(norms, f"How far credit reaches: {self.cell} on {self.task}", self.plot)
            say(f"Drawn: {self.plot}")
        return {"estimators": [vars(one) for one in found], "reach": [float(norm) for norm in norms]}


def show(found: list[Diagnosis], title: str) -> None:
    """Prints a table of diagnoses."""
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
    caption = "bias: ‖E ĝ − g‖ / ‖g‖ · variance: E ‖ĝ − E ĝ‖² / ‖E ĝ‖² · memory: activations and traces"
    show_table(title, columns, rows, caption)
