"""Training in a run directory, and opening the result."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx

from farback.algorithm import AbstractAlgorithm
from farback.runs.config import Config, read_config
from farback.runs.directory import check_directory, default_log_every, resolve_config, stored_log_every, write_config
from farback.runs.expressions import express
from farback.runs.listener import AbstractListener
from farback.runs.lock import lock
from farback.runs.loop import train_locked
from farback.runs.options import Options
from farback.runs.program import Program
from farback.runs.saved import LoadedRun, Which, open_run
from farback.types import InputError


def run(
    algorithm: AbstractAlgorithm,
    directory: Path | str,
    *,
    steps: int,
    seed: int = 0,
    seeds: int = 1,
    log_every: int | None = None,
    devices: int = 1,
    options: Options = Options(),
    listeners: Sequence[AbstractListener] = (),
    warn: Callable[[str], None] = print,
) -> LoadedRun:
    """Trains an algorithm in a directory and opens the result. The same call with more steps resumes the run.

    The algorithm is a Python object, so the directory has no config.json. The checkpoints record its arguments that
    are numbers, strings or modules, and a directory with another record is refused.

    **Arguments:**

    - `algorithm`: the algorithm.
    - `directory`: the run directory; it is created if it does not exist.
    - `steps`: the total time steps of all sequences together, including earlier ones; rounded up to whole updates.
    - `seed`, `seeds`: the first seed, and the number of seeds.
    - `log_every`: the updates per row of the log. By default, the value that the run began with, or about 500 rows.
    - `devices`: the number of devices to spread the seeds over; it must divide their number.
    - `options`: how often to save, and what to do about NaN.
    - `listeners`: receive the events of the run.
    - `warn`: called with each message for the user.
    """
    if steps < 1 or seeds < 1:
        raise InputError(f"run(steps={steps}, seeds={seeds}): give steps >= 1 and seeds >= 1.")
    directory = Path(directory)
    check_directory(directory)
    updates = -(-steps // algorithm.steps_per_update)
    directory.mkdir(parents=True, exist_ok=True)
    with lock(directory):
        every = log_every or stored_log_every(directory) or default_log_every(updates)
        program = Program(algorithm, range(seed, seed + seeds), every, devices)
        record = describe(algorithm) | {"log_every": every}
        train_locked(program, directory, updates, record, options, listeners, warn)
    return open_run(directory, program, warn=warn, record=record)


def run_config(
    config: Config,
    directory: Path,
    *,
    devices: int = 1,
    options: Options = Options(),
    listeners: Sequence[AbstractListener] = (),
    warn: Callable[[str], None] = print,
) -> int:
    """Trains a configuration in a directory, or resumes it. Returns the number of updates done.

    **Arguments:**

    - `config`: the configuration. A directory that was begun with another one is refused.
    - `directory`: the run directory; it is created if it does not exist.
    - `devices`: the number of devices to spread the seeds, or else the batch, over.
    - `options`, `listeners`, `warn`: as in `run`.
    """
    config = resolve_config(directory, config)
    program = config.program(devices)
    directory.mkdir(parents=True, exist_ok=True)
    with lock(directory):
        if resolve_config(directory, config) != config:
            raise InputError(f"Another process has begun a run in '{directory}': run the command again.")
        write_config(directory, config)
        return train_locked(program, directory, config.updates, config.record, options, listeners, warn)


def load(
    directory: Path | str,
    which: Which = "newest",
    *,
    program: Program | None = None,
    warn: Callable[[str], None] = print,
) -> LoadedRun:
    """Opens a run directory. It changes nothing there, and executes nothing from it.

    **Arguments:**

    - `directory`: the run directory.
    - `which`: the newest checkpoint, or the best.
    - `program`: the program of the run, for a directory without config.json.
    - `warn`: called with a message for each damaged checkpoint.
    """
    directory = Path(directory)
    if program is not None:
        return open_run(directory, program, which, warn)
    config = read_config(directory)
    return open_run(directory, config.program(), which, warn, config.record)


def describe(algorithm: AbstractAlgorithm) -> dict[str, Any]:
    """Returns the class of an algorithm and its arguments, as far as they can be written as JSON."""
    found: dict[str, Any] = {"algorithm": type(algorithm).__name__}
    for field in dataclasses.fields(algorithm):
        value = getattr(algorithm, field.name)
        written = express(value) if isinstance(value, eqx.Module) else value
        if isinstance(written, str | int | float) and " at 0x" not in str(written):  # functions differ between processes
            found[field.name] = written
    return found
