"""`engram list`."""

import dataclasses
import inspect
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from engram.agents import AbstractAgent, AbstractPsi, Ramp
from engram.cell import AbstractCell
from engram.cells.initialisers import AbstractGates, AbstractWeights
from engram.cli.console import Json
from engram.envs import AbstractEnv
from engram.estimators import AbstractEstimator
from engram.memup import MemUP
from engram.objectives import AbstractChoice, AbstractDetector, AbstractEpisodes
from engram.runs.optimiser import OPTAX, OWN
from engram.runs.spec import names, show_signature
from engram.strategies import AbstractStrategy
from engram.tasks import AbstractTask
from engram.types import InputError

KINDS = {
    "tasks": AbstractTask,
    "envs": AbstractEnv,
    "agents": (AbstractAgent, AbstractPsi, Ramp),
    "cells": AbstractCell,
    "estimators": AbstractEstimator,
    "initialisers": (AbstractGates, AbstractWeights),
    "strategies": AbstractStrategy,
    "objectives": (MemUP, AbstractChoice, AbstractDetector),
    "episodes": AbstractEpisodes,
}


@dataclasses.dataclass(frozen=True)
class List:
    """List what an expression may name, with its arguments: tasks, environments, agents, cells, estimators and so on.

    Two examples that work:
      engram list

      engram list estimators cells --json
    """

    kinds: tyro.conf.Positional[tuple[str, ...]] = ()
    """What to list; everything by default."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        found = {kind: catalogue(kind) for kind in KINDS} | {"optimisers": optimisers()}
        for kind in self.kinds:
            if kind not in found:
                raise InputError(f"There are no '{kind}' to list: give some of {', '.join(found)}.")
        shown = {kind: found[kind] for kind in self.kinds or found}
        for kind, entries in shown.items():
            table = Table(title=kind, title_style="bold", title_justify="left", box=None, show_header=False, pad_edge=False)
            table.add_column(style="cyan", max_width=48)
            for entry in entries:
                table.add_row(entry["signature"], entry["what"])
            Console(stderr=True, highlight=False, markup=False).print(table, "")
        return shown


def catalogue(kind: str) -> list[dict[str, str]]:
    """The public classes of a kind, each with its signature and the first line of its docstring."""
    return [described(name, value) for name, value in sorted(names().items()) if issubclass(value, KINDS[kind])]


def first_line(value: Any) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(value) or "").partition("\n")[0].rstrip(":")


def optimisers() -> list[dict[str, str]]:
    """The optimisers and schedules that can be named."""
    of_optax = [{"name": name, "signature": name, "what": f"optax.{name}"} for name in [*OPTAX, "chain"]]
    return [*of_optax, *(described(name, made) for name, made in OWN.items())]


def described(name: str, value: Any) -> dict[str, str]:
    """A name, what it is called with, and the first line of its docstring."""
    return {"name": name, "signature": name + show_signature(value), "what": first_line(value)}
