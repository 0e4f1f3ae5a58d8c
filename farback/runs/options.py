"""The options of a run, and the errors that end one."""

import dataclasses
from typing import Literal

from farback.types import InputError


class StoppedError(Exception):
    """A run stopped early. Its last checkpoint is on disk; `code` is the exit code."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class DivergedError(StoppedError):
    """A value became NaN or infinite in update number `update`."""

    def __init__(self, message: str, update: int):
        super().__init__(1, message)
        self.update = update


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a run that do not change what it learns, unless a value becomes NaN.

    - `save_every`: the seconds between checkpoints. Slow checkpoints are less frequent, so that saving takes
      at most 1 % of the time.
    - `keep`: the number of newest checkpoints to keep, beside the best one.
    - `on_nan`: what to do when a loss or a parameter is NaN or infinite: "stop", or "restore", which goes back to the last
      checkpoint and halves the step of the seeds that failed.
    """

    save_every: float = 60.0
    keep: int = 3
    on_nan: Literal["stop", "restore"] = "stop"

    def __post_init__(self):
        if self.keep < 1:
            raise InputError(f"keep = {self.keep}: a run resumes from a checkpoint; give keep >= 1.")
        if self.on_nan not in ("stop", "restore"):
            raise InputError(f"on_nan = {self.on_nan!r}: give 'stop' or 'restore'.")
        if not self.save_every >= 0:
            raise InputError(f"save_every = {self.save_every}: give 0 seconds or more.")
