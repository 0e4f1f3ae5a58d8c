"""Runs of agents in copies of an environment."""

from typing import Any, NamedTuple

from engram.papers.item import Case, configured
from engram.papers.optimisers import adam
from engram.runs.config import Config


class Effort(NamedTuple):
    """Updates, seeds, and rows of the log."""

    updates: int
    seeds: int
    rows: int = 200


def acting(name: str, effort: Effort, length: int, **expressions: Any) -> Case:
    """A run of 32 copies of an environment, each of which takes so many steps between two updates."""
    fields: dict[str, Any] = {
        "task": None,
        "cell": "LSTM(64)",
        "estimator": "BPTT()",
        "optimiser": adam("1e-3"),
        "batch": 32,
    } | expressions
    fields |= {"length": length, "steps": effort.updates * fields["batch"] * length}
    fields |= {"seed": 0, "seeds": effort.seeds, "log_every": effort.updates // effort.rows}
    return configured(name, Config(**fields))
