"""`farback list`."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from farback.agents import AbstractExploration, AbstractOnPolicyAgent, AbstractPsi
from farback.cell import AbstractCell
from farback.cells.initialisers import AbstractGates, AbstractWeights
from farback.cli.console import Json
from farback.cli.help import first_sentence, summary
from farback.envs import AbstractEnv
from farback.estimators import AbstractEstimator
from farback.memup import AbstractDetector, AbstractEpisodeSource, AbstractTargetSelector
from farback.network import AbstractEncoder
from farback.ops.schedules import LinearSchedule
from farback.runs.algorithms import ALGORITHMS
from farback.runs.expressions import show_signature
from farback.runs.kinds import hidden, names
from farback.runs.optimizers import OPTAX, OWN
from farback.strategies import AbstractStrategy
from farback.tasks import AbstractTask
from farback.types import InputError

KINDS = {
    "tasks": (AbstractTask,),
    "envs": (AbstractEnv,),
    "data": (AbstractEpisodeSource,),
    "cells": (AbstractCell,),
    "encoders": (AbstractEncoder,),
    "estimators": (AbstractEstimator,),
    "agents": (AbstractOnPolicyAgent,),
    "psi": (AbstractPsi,),
    "exploration": (AbstractExploration,),
    "schedules": (LinearSchedule,),
    "selectors": (AbstractTargetSelector,),
    "detectors": (AbstractDetector,),
    "initialisers": (AbstractGates, AbstractWeights),
    "strategies": (AbstractStrategy,),
}


@dataclasses.dataclass(frozen=True)
class List:
    """List the names that expressions may use, with their arguments: tasks, environments, cells, estimators and so on.

    Two examples that work:
      farback list
      farback list estimators cells --json
    """

    kinds: tyro.conf.Positional[tuple[str, ...]] = ()
    """The kinds to list; by default all."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        found = {"algorithms": algorithms()} | {kind: catalogue(kind) for kind in KINDS} | {"optimizers": optimizers()}
        for kind in self.kinds:
            if kind not in found:
                raise InputError(f"There is no kind '{kind}': give one or more of {', '.join(found)}.")
        shown = {kind: found[kind] for kind in self.kinds or found}
        for kind, entries in shown.items():
            table = Table(title=kind, title_style="bold", title_justify="left", box=None, show_header=False, pad_edge=False)
            table.add_column(style="cyan", max_width=48)
            for entry in entries:
                table.add_row(entry["signature"], entry["what"])
            Console(stderr=True, highlight=False, markup=False).print(table, "")
        return shown


def catalogue(kind: str) -> list[dict[str, str]]:
    """Returns the public classes of a kind, each with its signature and the first sentence of its docstring."""
    found = [(name, value, of) for of in KINDS[kind] for name, value in names(of).items()]
    return [described(name, value, hidden(of)) for name, value, of in sorted(found, key=lambda each: each[0])]


def algorithms() -> list[dict[str, str]]:
    """Returns the algorithms, each with the command that trains with it."""
    return [{"name": name, "signature": f"farback train {name}", "what": summary(name)} for name in ALGORITHMS]


def optimizers() -> list[dict[str, str]]:
    """Returns the optimizers and schedules that an expression may name."""
    of_optax = [{"name": name, "signature": name, "what": f"optax.{name}"} for name in [*OPTAX, "chain"]]
    return [*of_optax, *(described(name, made) for name, made in OWN.items())]


def described(name: str, value: Any, hidden: Iterable[str] = ()) -> dict[str, str]:
    """Returns a name, its arguments, and the first sentence of its docstring."""
    return {"name": name, "signature": name + show_signature(value, hidden), "what": first_sentence(value.__doc__)}
