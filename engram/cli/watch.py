"""`engram watch`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engram.cli.console import Json, say
from engram.reports.figures import PICTURES, check_picture
from engram.reports.film import draw_film
from engram.reports.memory import draw_memory, units
from engram.reports.stepper import write_stepper
from engram.runs.acting import ActingTrial
from engram.runs.log import means
from engram.runs.run import load
from engram.runs.saved import Which
from engram.runs.trial import Scene
from engram.types import InputError

SHADES = " ░▒▓█"
MOST = 60
"""Lines of steps."""
KINDS = (*PICTURES, ".gif", ".html")


@dataclasses.dataclass(frozen=True)
class Watch:
    """Show what a saved model does, step by step, on data that it has not seen: what it sees, its score, its memory.

    Two examples that work, after engram train --dir runs/recall:
      engram watch runs/recall

      engram watch runs/recall --steps 100 --seed 2 --plot memory.gif
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
    """Where to draw the memory over time: as a picture (.png, .svg or .pdf), as a film (.gif), or as a page that is walked
    through step by step (.html)."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        if self.steps < 1:
            raise InputError(f"--steps {self.steps}: give 1 at least.")
        if self.plot is not None:
            check_picture(self.plot, KINDS)
        saved = load(self.dir, self.checkpoint, warn=say)
        seeds = saved.program.seeds
        seed = seeds[0] if self.seed is None else self.seed
        if seed not in seeds:
            raise InputError(f"--seed {seed}: the run has seeds {seeds[0]} to {seeds[-1]}.")
        scene, looks = saved.watch(seed, self.steps)
        title = f"{self.dir}, seed {seed}, update {saved.facts['update']:,}"
        acts = isinstance(saved.program.trial, ActingTrial)
        show_scene(scene, looks, title, acts)
        steps = describe(scene, looks, acts)
        if self.plot is not None:
            match self.plot.suffix:
                case ".gif":
                    draw_film(scene, looks, title, self.plot)
                case ".html":
                    write_stepper(steps, title, self.plot)
                case _:
                    draw_memory(scene, title, self.plot)
            say(f"Drawn: {self.plot}")
        return {"steps": steps}


def describe(scene: Scene, looks: Sequence[str], acts: bool) -> list[dict[str, Any]]:
    """The steps, as JSON."""
    arrays = {"first": scene.first, "cue": scene.cue, "seen": scene.seen, "memory": units(scene)}
    arrays |= {"does": scene.output} if acts else {}
    columns = {name: np.asarray(values).tolist() for name, values in arrays.items()} | {"look": looks}
    return [
        {name: values[step] for name, values in columns.items()} | means(scene.said, (step,)) for step in range(len(looks))
    ]


def show_scene(scene: Scene, looks: Sequence[str], title: str, acts: bool) -> None:
    """Shows a line a step, with what is done if it acts; each unit of the memory is shaded, blue or red by its sign.

    Of very many steps those in the middle are left out.
    """
    held = units(scene)
    held = held / np.maximum(np.abs(held).max(axis=0, initial=0.0), 1e-12)
    names = list(scene.said)
    caption = "› begins an episode" + (", ◆ is to be remembered" if np.any(scene.cue) else "")
    table = Table(title=title, caption=caption, box=None, padding=(0, 1), expand=True)
    table.add_column("", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("world" if acts else "sees", justify="left" if acts else "right", no_wrap=True)
    for name in (*(("does",) if acts else ()), *(name.partition("/")[2] for name in names)):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("memory", no_wrap=True, overflow="ellipsis", ratio=1)
    for step in range(len(held)):
        if len(held) > MOST and MOST // 2 <= step < len(held) - MOST // 2:
            if step == MOST // 2:
                table.add_row("", "⋮", f"{len(held) - MOST:,} more")
            continue
        values = means(scene.said, (step,))
        shown = ["" if values[name] is None else f"{values[name]:.3f}" for name in names]
        table.add_row(
            ("›" if scene.first[step] else " ") + ("◆" if scene.cue[step] else " "),
            str(step),
            looks[step],
            *([_does(np.asarray(scene.output)[step])] if acts else []),
            *shown,
            _shade(held[step]),
        )
    Console(stderr=True, markup=False).print(table)


def _does(output: np.ndarray) -> str:
    """A choice, or numbers."""
    return str(int(output)) if np.issubdtype(output.dtype, np.integer) else " ".join(f"{value:.2g}" for value in output)


def _shade(values: np.ndarray) -> Text:
    text = Text()
    for value in values:
        text.append(SHADES[min(int(abs(value) * len(SHADES)), len(SHADES) - 1)], style="red" if value > 0 else "blue")
    return text
