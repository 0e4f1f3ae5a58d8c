"""The commands, except the one that completes them."""

import dataclasses
from typing import Any

from farback.cli.catalogue import List
from farback.cli.diagnose import Diagnose
from farback.cli.doctor import Doctor
from farback.cli.evaluate import Evaluate
from farback.cli.report import Report
from farback.cli.reproduce import Reproduce
from farback.cli.watch import Watch


@dataclasses.dataclass(frozen=True)
class Train:
    """Train with an algorithm, or resume."""


@dataclasses.dataclass(frozen=True)
class Certify:
    """Find the longest memory that an algorithm learns."""


COMMANDS: dict[str, Any] = {
    "train": Train,
    "eval": Evaluate,
    "watch": Watch,
    "report": Report,
    "certify": Certify,
    "diagnose": Diagnose,
    "reproduce": Reproduce,
    "list": List,
    "doctor": Doctor,
}
"""The commands by name; train and certify have a subcommand per algorithm."""
