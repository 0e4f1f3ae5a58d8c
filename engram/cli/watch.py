"""`engram watch`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engram.cli.console import Json, say
from engram.reports.figures import check_picture
from engram.reports.memory import draw_memory, units
from engram.runs.acting import ActingTrial
from engram.runs.log import means
from engram.runs.saved import Which, load
from engram.runs.trial import Scene
from engram.types import InputError

SHADES = " ░▒▓█"


@dataclasses.dataclass(frozen=True)
class Watch:
    """Show what a saved model does, step by step, on data that it has not seen: what it sees, its score, its memory.

    Two examples that work, after engram train --dir runs/recall:
      engram watch runs/recall

      engram watch runs/recall --steps 100 --seed 2 --plot memory.png
    """

    dir: Annotated[Path, tyro.conf.Positional]
    """The run directory."""
    checkpoint: Which = "newest"
    """Which checkpoint is watched."""
    seed: int | None = None
    """Which seed's model; by default the first."""
    steps: int = 40
    """How many steps."""
    plot: Path | None = None
    """Where to draw the memory over time, as a picture (.png, .svg or .pdf)."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        if self.steps < 1:
            raise InputError(f"--steps {self.steps}: give 1 at least.")
        if self.plot is not None:
            check_picture(self.plot)
        saved = load(self.dir, self.checkpoint, warn=say)
        seeds = saved.program.seeds
        seed = seeds[0] if self.seed is None else self.seed
        if seed not in seeds:
            raise InputError(f"--seed {seed}: the run has seeds {seeds[0]} to {seeds[-1]}.")
        scene = saved.watch(seed, self.steps)
        title = f"{self.dir}, seed {seed}, update {saved.facts['update']:,}"
        acts = isinstance(saved.program.trial, ActingTrial)
        show_scene(scene, title, acts)
        if self.plot is not None:
            draw_memory(scene, title, self.plot)
            say(f"Drawn: {self.plot}")
        return {"steps": [describe(scene, step, acts) for step in range(self.steps)]}


def describe(scene: Scene, step: int, acts: bool) -> dict[str, Any]:
    """One step, as JSON."""
    does = {"does": np.asarray(scene.output)[step].tolist()} if acts else {}
    seen = np.asarray(scene.seen)[step].tolist()
    memory = units(scene.memory)[step].tolist()
    return {"first": bool(scene.first[step]), "seen": seen, "memory": memory} | does | means(scene.said, (step,))


def show_scene(scene: Scene, title: str, acts: bool) -> None:
    """Shows a line a step, with what is done if it acts; each unit of the memory is shaded, blue or red by its sign."""
    held = units(scene.memory)
    held = held / np.maximum(np.abs(held).max(axis=0, initial=0.0), 1e-12)
    names = list(scene.said)
    table = Table(title=title, caption="› begins an episode", box=None, padding=(0, 1), expand=True)
    does = ("does",) if acts else ()
    for name in ("", "step", "sees", *does, *(name.partition("/")[2] for name in names)):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("memory", no_wrap=True, overflow="ellipsis", ratio=1)
    for step in range(len(held)):
        values = means(scene.said, (step,))
        shown = ["" if values[name] is None else f"{values[name]:.3f}" for name in names]
        table.add_row(
            "›" if scene.first[step] else "",
            str(step),
            _short(np.asarray(scene.seen)[step]),
            *([_does(np.asarray(scene.output)[step])] if acts else []),
            *shown,
            _shade(held[step]),
        )
    Console(stderr=True, markup=False).print(table)


def _short(seen: np.ndarray) -> str:
    """A vector in a few letters: the place of its ones, where it has only ones and zeros."""
    if np.isin(seen, (0, 1)).all():
        return ",".join(map(str, np.flatnonzero(seen))) or "·"
    return " ".join(f"{value:.2g}" for value in seen[:4]) + (" …" if len(seen) > 4 else "")


def _does(output: np.ndarray) -> str:
    """A choice, or a few numbers."""
    return str(int(output)) if np.issubdtype(output.dtype, np.integer) else _short(output)


def _shade(values: np.ndarray) -> Text:
    text = Text()
    for value in values:
        text.append(SHADES[min(int(abs(value) * len(SHADES)), len(SHADES) - 1)], style="red" if value > 0 else "blue")
    return text
