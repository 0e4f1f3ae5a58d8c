"""`farback watch`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from farback.algorithm import Timeline
from farback.cli.arguments import OptionalPath, OptionalWhole, Whole
from farback.cli.console import Json, say
from farback.reports.figures import PICTURES, check_picture
from farback.reports.film import draw_film
from farback.reports.memory import draw_memory, units
from farback.reports.stepper import write_stepper
from farback.runs.log import means
from farback.runs.run import load
from farback.runs.saved import Which
from farback.types import InputError

SHADES = " ░▒▓█"
MOST = 60
"""The most steps that the table shows."""
KINDS = (*PICTURES, ".gif", ".html")


@dataclasses.dataclass(frozen=True)
class Watch:
    """Show a trained network step by step: its input, its metrics and its memory, on held-out data.

    Films and pages also show what the agent sees, and a map, in environments that are seen from within.

    Two examples that work, after farback train supervised ... --seeds 3 --dir runs/recall:
      farback watch runs/recall
      farback watch runs/recall --steps 100 --seed 2 --plot memory.gif
    """

    dir: Annotated[Path, tyro.conf.Positional]
    """The run directory."""
    checkpoint: Which = "newest"
    """The checkpoint to watch."""
    seed: OptionalWhole = None
    """The seed of the network; by default the run's first."""
    steps: Whole = 40
    """The number of steps."""
    plot: OptionalPath = None
    """Draw the memory over time to this file: a picture (.png, .svg, .pdf), a film (.gif) or a page (.html)."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        if self.steps < 1:
            raise InputError(f"--steps {self.steps}: give 1 or more.")
        if self.plot is not None:
            check_picture(self.plot, KINDS)
        loaded = load(self.dir, self.checkpoint, warn=say)
        seeds = loaded.program.seeds
        seed = seeds[0] if self.seed is None else self.seed
        if seed not in seeds:
            raise InputError(f"--seed {seed}: the run has seeds {seeds[0]} to {seeds[-1]}.")
        timeline, lines = loaded.timeline(seed, self.steps)
        title = f"{self.dir}, seed {seed}, update {loaded.facts['update']:,}"
        acts = loaded.algorithm.acts
        show_timeline(timeline, lines, title, acts)
        steps = describe(timeline, lines, acts)
        if self.plot is not None:
            images = loaded.algorithm.split().render_images(timeline)
            match self.plot.suffix:
                case ".gif":
                    draw_film(timeline, lines, images, title, self.plot)
                case ".html":
                    write_stepper(steps, images, title, self.plot)
                case _:
                    draw_memory(timeline, title, self.plot)
            say(f"Drawn: {self.plot}")
        return {"steps": steps}


def describe(timeline: Timeline, lines: Sequence[str], acts: bool) -> list[dict[str, Any]]:
    """Returns the steps as JSON."""
    arrays = {"first": timeline.first, "cue": timeline.cue, "memory": units(timeline), "observation": timeline.observation}
    arrays |= {"action": timeline.output} if acts else {}
    columns = {name: _listed(values) for name, values in arrays.items()} | {"text": lines}
    return [
        {name: values[step] for name, values in columns.items()} | means(timeline.metrics, (step,))
        for step in range(len(lines))
    ]


def show_timeline(timeline: Timeline, lines: Sequence[str], title: str, acts: bool) -> None:
    """Prints a line per step. The units of the memory are shaded, blue or red by sign.

    If there are many steps, those in the middle are left out.

    **Arguments:**

    - `timeline`, `lines`: as `LoadedRun.timeline` returns them.
    - `title`: the title.
    - `acts`: whether the output is an action.
    """
    held = units(timeline)
    held = held / np.maximum(np.abs(held).max(axis=0, initial=0.0), 1e-12)
    names = list(timeline.metrics)
    caption = "› first step of an episode" + (", ◆ cue" if np.any(timeline.cue) else "")
    table = Table(title=title, caption=caption, box=None, padding=(0, 1), expand=True)
    table.add_column("", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("state" if acts else "input", justify="left" if acts else "right", no_wrap=True)
    for name in (*(("action",) if acts else ()), *(name.partition("/")[2] for name in names)):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("memory", no_wrap=True, overflow="ellipsis", ratio=1)
    for step in range(len(held)):
        if len(held) > MOST and MOST // 2 <= step < len(held) - MOST // 2:
            if step == MOST // 2:
                table.add_row("", "⋮", f"{len(held) - MOST:,} more")
            continue
        values = means(timeline.metrics, (step,))
        shown = ["" if values[name] is None else f"{values[name]:.3f}" for name in names]
        table.add_row(
            ("›" if timeline.first[step] else " ") + ("◆" if timeline.cue[step] else " "),
            str(step),
            lines[step],
            *([_action(timeline.output, step)] if acts else []),
            *shown,
            _shade(held[step]),
        )
    Console(stderr=True, markup=False).print(table)


def _listed(values: Any) -> list[Any]:
    """Returns each step's numbers as lists; the arrays of a structure are concatenated."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(values)]
    if len(leaves) == 1:
        return leaves[0].tolist()
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1).tolist()


def _action(output: Any, step: int) -> str:
    """Returns the action of a step as text, with a bar between the arrays of a structure."""
    arrays = [np.ravel(np.asarray(leaf)[step]) for leaf in jax.tree.leaves(output)]
    return " | ".join(" ".join(f"{one:.2g}" if array.dtype.kind == "f" else str(one) for one in array) for array in arrays)


def _shade(values: np.ndarray) -> Text:
    text = Text()
    for value in values:
        text.append(SHADES[min(int(abs(value) * len(SHADES)), len(SHADES) - 1)], style="red" if value > 0 else "blue")
    return text
