"""The command line: every command is a call that a user could write."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import tyro

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
    json: bool = False
    """Print one JSON object as the last line of standard output; everything else goes to standard error."""

    def run(self) -> dict[str, Any]:
        import equinox as eqx
        import jax

        from engram.cells import Chain
        from engram.estimators import AbstractEstimator
        from engram.reports.diagnosis import diagnose, reach
        from engram.reports.figures import check_picture, draw_reach
        from engram.runs.spec import build, build_all, build_cell
        from engram.step import Supervised
        from engram.tasks import AbstractTask

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
        show_diagnoses(found, f"{self.cell} on {self.task}, {self.batch} sequences of {self.steps} steps")
        if self.plot is not None:
            draw_reach(norms, f"How far credit reaches: {self.cell} on {self.task}", self.plot)
            say(f"Drawn: {self.plot}")
        return {"estimators": [vars(one) for one in found], "reach": [float(norm) for norm in norms]}


def show_diagnoses(found: list[Any], title: str) -> None:
    """Prints a table of diagnoses."""
    from rich.table import Table

    table = Table(
        title=title, caption="bias: ‖E ĝ − g‖ / ‖g‖ · variance: relative, eq. (3.22) · bytes: activations and traces"
    )
    table.add_column("estimator")
    for column in ("bias", "variance", "cosine", "µs/step", "memory", "compile"):
        table.add_column(column, justify="right")
    for one in found:
        table.add_row(
            one.estimator,
            f"< {2 * one.bias_floor:.2g}" if one.bias < 2 * one.bias_floor else f"{one.bias:.2g}",
            f"{one.variance:.3g}",
            f"{one.cosine:.3f}",
            f"{one.seconds_per_step * 1e6:.1f}",
            f"{one.bytes / 1024:.0f} KiB",
            f"{one.compile_seconds:.1f} s",
        )
    console().print(table)


def console():
    """Where people read: standard error, so that standard output is for programs."""
    from rich.console import Console

    return Console(stderr=True)


def say(text: str) -> None:
    """Tells people something."""
    print(text, file=sys.stderr)


COMMANDS = {"diagnose": Diagnose}


def main() -> None:
    """The entry point: exit codes 0 done, 2 bad input, 1 anything else."""
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="engram",
        description="Trains models and agents that remember longer than they can backpropagate.",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    use_compilation_cache()
    try:
        result = command.run()
    except InputError as error:
        say(f"engram: {error}")
        sys.exit(2)
    if command.json:
        print(json.dumps(result))


def use_compilation_cache() -> None:
    """Keeps compiled programs between processes, unless `JAX_COMPILATION_CACHE_DIR` already says where."""
    import os

    import jax

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        jax.config.update("jax_compilation_cache_dir", str(home / "engram" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


if __name__ == "__main__":
    main()
