"""A run from its configuration: what `engram train` does, and what the others begin with."""

from collections.abc import Callable, Sequence
from pathlib import Path

from engram.runs.config import Config, read_config, settle, write_config
from engram.runs.listener import AbstractListener
from engram.runs.lock import lock
from engram.runs.loop import Options, go_on
from engram.runs.program import Program
from engram.runs.saved import Saved, Which, opened
from engram.types import InputError


def run(
    config: Config,
    directory: Path,
    *,
    devices: int = 1,
    options: Options = Options(),
    listeners: Sequence[AbstractListener] = (),
    warn: Callable[[str], None] = print,
) -> int:
    """Trains what a configuration says, or goes on where the directory left off; gives how many updates are done.

    **Arguments:**

    - `config`: what is trained, and how far; a directory that was begun with another one is refused.
    - `directory`: the run directory; it is made if need be.
    - `devices`: over how many devices seeds, or else the batch, are laid.
    - `options`, `listeners`, `warn`: as `engram.runs.loop.train` has them.
    """
    config = settle(directory, config)
    program = config.program(devices)
    directory.mkdir(parents=True, exist_ok=True)
    with lock(directory):
        if settle(directory, config) != config:
            raise InputError(f"'{directory}' was begun by another process meanwhile: run the command again.")
        write_config(directory, config)
        return go_on(program, directory, config.updates, config.record, options, listeners, warn)


def load(
    directory: Path,
    which: Which = "newest",
    *,
    program: Program | None = None,
    warn: Callable[[str], None] = print,
) -> Saved:
    """Opens a run directory; nothing in it is executed or changed.

    **Arguments:**

    - `which`: the newest checkpoint, or the best.
    - `program`: what was run, where no config.json says it.
    - `warn`: who is told of checkpoints that are damaged.
    """
    return opened(directory, read_config(directory).program() if program is None else program, which, warn)
