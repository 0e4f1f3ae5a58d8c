"""The run directory: the configuration stored in it, and whether a run has begun there."""

import dataclasses
import json
from pathlib import Path

from farback.runs.checkpoint import Checkpoints
from farback.runs.config import FILE, FORMAT, Config, read_config
from farback.runs.files import write_atomically
from farback.runs.lock import LOCK
from farback.types import InputError

ROWS = 500
"""The approximate number of rows of a log, by default."""
MOST_UPDATES = 2**17
"""The most updates per row by default."""
OWN = (LOCK, FILE, "checkpoints", "metrics.jsonl")
"""The files and folders of a run."""


def resolve_config(directory: Path, config: Config) -> Config:
    """Returns a configuration with its `log_every`. The directory must be of this run, empty, or new."""
    if (directory / FILE).exists() and has_begun(directory):
        stored = read_config(directory)
        config = dataclasses.replace(config, log_every=config.log_every or stored.log_every)
        ours, theirs = config.record, stored.record
        for name in [*ours, *theirs]:
            if theirs.get(name) != ours.get(name):
                raise InputError(
                    f"'{directory}' was begun with {name} = {_shown(stored, name)}, not {_shown(config, name)}: give "
                    f"another directory, or that {name}."
                )
        return config
    check_directory(directory)
    return config if config.log_every else dataclasses.replace(config, log_every=default_log_every(config.updates))


def check_directory(directory: Path) -> None:
    """Refuses a path at which a run cannot begin: a file, or a directory with other files."""
    foreign = directory.is_dir() and any(path.name[0] != "." and path.name not in OWN for path in directory.iterdir())
    if directory.is_file() or (foreign and not has_begun(directory)):
        raise InputError(f"'{directory}' is not a run directory, and not empty: give another directory.")


def default_log_every(updates: int) -> int:
    """Returns the updates per row that give the log of a run about `ROWS` rows."""
    return min(-(-updates // ROWS), MOST_UPDATES)


def stored_log_every(directory: Path) -> int | None:
    """Returns the updates per row that the newest checkpoint of a directory records, or `None` if there is none."""
    found = Checkpoints(directory / "checkpoints").whole(lambda path, error: None)
    return next((facts["record"].get("log_every") for facts in found.values()), None)


def has_begun(directory: Path) -> bool:
    """Whether a run has begun in a directory."""
    log = directory / "metrics.jsonl"
    return any((directory / "checkpoints").glob("*")) or (log.exists() and log.stat().st_size > 0)


def write_config(directory: Path, config: Config) -> None:
    """Stores a configuration, unless the run has begun and the stored one has as many steps."""
    if not has_begun(directory) or read_config(directory).total_steps < config.total_steps:
        stored = {"farback": FORMAT, **dataclasses.asdict(config)}
        write_atomically(directory / FILE, [json.dumps(stored, indent=2).encode() + b"\n"])


def _shown(config: Config, name: str) -> object:
    return config.arguments.get(name, getattr(config, name, None))
