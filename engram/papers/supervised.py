"""MemUP on supervised tasks, beside who learns as usual."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from engram.papers.data import given, permuted_pixels
from engram.papers.item import Case, Scale, configured, examined, scores
from engram.runs.config import Config
from engram.runs.foreseeing import ForeseeingTrial
from engram.runs.log import Row
from engram.runs.saved import Saved
from engram.runs.trial import StreamTrial

ADAM = "chain(clip_by_global_norm(1.0), adam(1e-3))"


class Rival(NamedTuple):
    """A cell that learns as usual, and the window that its credit passes through; none is the whole episode."""

    cell: str
    window: int | None


class Asked(NamedTuple):
    """A task, how long its episodes are, and the window that MemUP has there."""

    task: str
    length: int
    window: int


def lengths(scale: Scale, task: str, extra: int = 0) -> list[Asked]:
    """A task at each length that the paper has, in the place of {} in its expression, but for the steps that it adds."""
    steps = {"smoke": (8 + extra,), "laptop": (120, 520), "paper": (120, 520, 1020, 5020)}[scale]
    return [Asked(task.format(length - extra), length, 10 if length < 1000 else 20) for length in steps]


def supervised(scale: Scale, tasks: Sequence[Asked], targets: int, held_out: int | None = None) -> list[Case]:
    """MemUP; and who learns as usual, through whole episodes, and through the r + K steps that MemUP stores.

    **Arguments:**

    - `targets`: K.
    - `held_out`: of so many episodes that training never sees is what is measured; if `None`, of those that it sees, each
      of which is new.
    """
    units, batch, passes, seeds = {"smoke": (8, 4, 2, 1), "laptop": (128, 64, 400, 3), "paper": (128, 128, 4_000, 3)}[scale]
    cases = []
    for task, length, window in tasks:
        common: dict[str, Any] = {"task": task, "batch": batch, "seed": 0, "seeds": seeds, "estimator": "BPTT()"}
        memup = Config(
            **common,
            objective=f"MemUP(Surprising({targets}), every={window})",
            cell=f"LSTM({units})",
            context=f"LSTM({units})",
            optimiser=ADAM,
            length=window,
            steps=1,
        )
        steps = passes * memup.steps_of_update
        configs = {f"{length}: MemUP, window {window}": dataclasses.replace(memup, steps=steps)}
        for name, rival in _rivals(units, length, window + targets).items():
            through = memup.episode if rival.window is None else rival.window
            configs[f"{length}: {name}"] = Config(**common, cell=rival.cell, optimiser=ADAM, length=through, steps=steps)
        cases += [_case(name, config, held_out) for name, config in configs.items()]
    return cases if scale != "smoke" else cases[:2]


def _case(name: str, config: Config, held_out: int | None) -> Case:
    config = dataclasses.replace(config, log_every=max(1, config.updates // 100))
    if held_out is None:
        return configured(name, config)

    updates = 1 if config.objective else -(-config.episode // config.length)

    def examine(saved: Saved) -> list[Row]:
        trial = saved.program.trial.held_out()
        assert isinstance(trial, ForeseeingTrial | StreamTrial)
        return scores(dataclasses.replace(trial, batch=held_out), updates)(saved)

    return examined(name, config.program, config.updates, config.record, examine, times=10)


def pixels(scale: Scale) -> list[Case]:
    """Images of 784 pixels, and of four times as many, where there are any: otherwise small ones, enlarged."""
    cases = []
    digits = given("mnist") is None
    for enlarged in {"smoke": (1,), "laptop": (3,) if digits else (1,), "paper": (3, 7) if digits else (1, 2)}[scale]:
        task, shown = permuted_pixels(enlarged)
        asked = Asked(task, shown.pixels, 30 if shown.pixels < 1000 else 60)
        cases += supervised(scale, [asked], 1, held_out=min(1000, len(shown.held["test"].labels)))
    return cases


def _rivals(units: int, length: int, window: int) -> dict[str, Rival]:
    transformer = f"GTrXL({units}, memory={{}}, layers=4)"
    return {
        "LSTM, full": Rival(f"LSTM({units})", None),
        f"LSTM, window {window}": Rival(f"LSTM({units})", window),
        "SRNN, full": Rival(f"SRNN({units})", None),
        f"SRNN, window {window}": Rival(f"SRNN({units})", window),
        "transformer, full": Rival(transformer.format(length), None),
        f"transformer, window {window}": Rival(transformer.format(window), window),
    }


SUPERVISED = (
    "MemUP with gradients through 10 steps, 20 where episodes have a thousand; beside it who learns as usual, through "
    "whole episodes, and through as many steps as MemUP stores. All with as many steps of episodes."
)
