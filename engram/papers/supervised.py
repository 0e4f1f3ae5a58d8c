"""MemUP on supervised tasks, beside who learns as usual."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from engram.papers.item import Case, Scale, configured
from engram.runs.config import Config

ADAM = "chain(clip_by_global_norm(1.0), adam(1e-3))"


class Rival(NamedTuple):
    """A cell that learns as usual, and the window that its credit passes through; none is the whole episode."""

    cell: str
    window: int | None


def supervised(scale: Scale, task: str, lengths: Mapping[Scale, Sequence[int]], targets: int) -> list[Case]:
    """MemUP with windows of r = 10 or 20 steps; and who learns as usual, through whole episodes, and through r + K steps.

    **Arguments:**

    - `task`: an expression, in which the length stands for {}.
    - `lengths`: of episodes.
    - `targets`: K.
    """
    units, batch, passes, seeds = {"smoke": (8, 4, 2, 1), "laptop": (128, 64, 400, 3), "paper": (128, 128, 4_000, 3)}[scale]
    cases = []
    for length in lengths[scale]:
        window = 10 if length < 1000 else 20
        common: dict[str, Any] = {"task": task.format(length), "batch": batch, "seed": 0, "seeds": seeds}
        memup = Config(
            **common,
            objective=f"MemUP(Surprising({targets}), every={window})",
            cell=f"LSTM({units})",
            context=f"LSTM({units})",
            estimator="BPTT()",
            optimiser=ADAM,
            length=window,
            steps=1,
        )
        steps = passes * memup.steps_of_update
        memup = dataclasses.replace(memup, steps=steps, log_every=max(1, passes // 100))
        cases.append(configured(f"{length}: MemUP, window {window}", memup))
        for name, rival in _rivals(units, length, window + targets).items():
            config = Config(
                **common,
                cell=rival.cell,
                estimator="BPTT()",
                optimiser=ADAM,
                length=memup.episode if rival.window is None else rival.window,
                steps=steps,
            )
            config = dataclasses.replace(config, log_every=max(1, config.updates // 100))
            cases.append(configured(f"{length}: {name}", config))
    return cases if scale != "smoke" else cases[:2]


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


LENGTHS: dict[Scale, Sequence[int]] = {"smoke": (2,), "laptop": (100, 500), "paper": (100, 500, 1000, 5000)}
WHOLE: dict[Scale, Sequence[int]] = {"smoke": (8,), "laptop": (120, 520), "paper": (120, 520, 1020, 5020)}
SUPERVISED = (
    "MemUP with gradients through 10 steps, 20 where episodes have a thousand; beside it who learns as usual, through "
    "whole episodes, and through as many steps as MemUP stores. All with as many steps of episodes."
)
