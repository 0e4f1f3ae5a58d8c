"""MemUP on supervised tasks, beside who learns as usual."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from engram.papers.data import given, permuted_pixels
from engram.papers.item import Case, Scale, configured, examined, scores
from engram.papers.optimisers import adam, falling
from engram.runs.config import Config
from engram.runs.foreseeing import ForeseeingTrial
from engram.runs.log import Row
from engram.runs.saved import Saved
from engram.runs.trial import StreamTrial


class Effort(NamedTuple):
    """The units of a cell, the layers of a transformer, the episodes that are gone through together, the passes, the seeds,
    and what the rate of Adam falls from, to 0.
    """

    units: int
    layers: int
    batch: int
    passes: int
    seeds: int
    rate: str


SMOKE, PAPER = Effort(8, 1, 4, 2, 1, "0.001"), Effort(128, 4, 128, 20_000, 3, "0.001")
COPYING: dict[Scale, Effort] = {"smoke": SMOKE, "laptop": Effort(64, 2, 16, 8_000, 3, "0.002"), "paper": PAPER}
ADDING: dict[Scale, Effort] = {"smoke": SMOKE, "laptop": Effort(64, 2, 128, 500, 3, "0.001"), "paper": PAPER}
PIXELS: dict[Scale, Effort] = {"smoke": SMOKE, "laptop": Effort(64, 2, 32, 2_000, 3, "0.003"), "paper": PAPER}
LASTING_LRU = "LRU({}, r_min=0.9, r_max=0.9999, max_phase=0.314)"
"""Linear units that hold for long from the beginning, and hardly turn."""
FAR, TOGETHER = 500, 64
"""Of so many steps an episode is long: MemUP then goes through so many together, for the many updates of a pass would learn
by heart what came of fewer.
"""
SHARE = 8
"""A transformer takes so many times as long for an episode, and goes through so many times fewer."""
THOUSAND = 1000
"""Of so many steps an episode is long for all: windows are twice as long, and a laptop has one cell, and no transformer."""
HUNDREDS: dict[Scale, tuple[int, ...]] = {"smoke": (32,), "laptop": (120, 520), "paper": (120, 520)}
THOUSANDS: dict[Scale, tuple[int, ...]] = {"smoke": (44,), "laptop": (1020,), "paper": (1020, 5020)}
"""The steps of episodes."""


class Asked(NamedTuple):
    """A task, how long its episodes are, and the window that MemUP has there."""

    task: str
    length: int
    window: int


def _asked(task: str, lengths: Sequence[int], extra: int = 0) -> list[Asked]:
    """A task at each length, in the place of {} in its expression, but for the steps that it adds."""
    return [Asked(task.format(length - extra), length, 10 if length < THOUSAND else 20) for length in lengths]


def supervised(
    scale: Scale,
    asked: Asked,
    effort: Effort,
    targets: int,
    memories: Sequence[str],
    context: str = "LSTM({})",
    held_out: int | None = None,
) -> list[Case]:
    """MemUP; and who learns as usual, through whole episodes, and through the r + K steps that MemUP stores.

    **Arguments:**

    - `targets`: K.
    - `memories`: cells, of so many units as {}; the first also learns as usual.
    - `context`: what surrounds a step, likewise.
    - `held_out`: of so many episodes that training never sees is what is measured; if `None`, of those that it sees, each
      of which is new.
    """
    task, length, window = asked
    afforded = scale != "laptop" or length < THOUSAND
    common: dict[str, Any] = {"task": task, "seed": 0, "seeds": effort.seeds, "steps": 1, "estimator": "BPTT()"}
    cases = []
    batch = max(effort.batch, TOGETHER) if length >= FAR else effort.batch
    passes = effort.passes * effort.batch // batch
    for memory in memories if afforded else memories[:1]:
        config = Config(
            **common,
            objective=f"MemUP(Surprising({targets}), every={window})",
            cell=memory.format(effort.units),
            context=context.format(effort.units),
            optimiser=adam(falling(effort.rate, passes * -(-length // window))),
            batch=batch,
            length=window,
        )
        name = f"{length}: MemUP, {memory.partition('(')[0]}, window {window}"
        cases.append(_case(name, config, length, passes, held_out))
    for name, through, cell, of_way in _rivals(memories[0], effort, length, window + targets, afforded):
        optimiser = adam(falling(effort.rate, of_way * -(-length // through)))
        config = Config(**common, cell=cell, optimiser=optimiser, batch=effort.batch, length=through)
        cases.append(_case(f"{length}: {name}", config, length, of_way, held_out))
    return cases if scale != "smoke" else cases[:2]


def _rivals(memory: str, effort: Effort, length: int, window: int, transformer: bool) -> list[tuple[str, int, str, int]]:
    """Who learns as usual: its name, the steps that its credit passes through, its cell and its passes."""
    cells = {"LSTM": (memory, effort.passes), "SRNN": ("SRNN({})", effort.passes)}
    if transformer:
        cells["transformer"] = f"GTrXL({{}}, memory={{memory}}, layers={effort.layers})", -(-effort.passes // SHARE)
    return [
        (f"{name}, {said}", through, cell.format(effort.units, memory=through), passes)
        for name, (cell, passes) in cells.items()
        for said, through in (("full", length), (f"window {window}", window))
    ]


def _case(name: str, config: Config, length: int, passes: int, held_out: int | None) -> Case:
    """So many passes through episodes of a length."""
    updates_of_pass = 1 if config.objective else -(-length // config.length)
    updates = passes * updates_of_pass
    config = dataclasses.replace(config, steps=updates * config.steps_of_update, log_every=max(1, updates // 100))
    if held_out is None:
        return configured(name, config)

    def examine(saved: Saved) -> list[Row]:
        trial = saved.program.trial.held_out()
        assert isinstance(trial, ForeseeingTrial | StreamTrial)
        return scores(dataclasses.replace(trial, batch=held_out), updates_of_pass)(saved)

    return examined(name, config.program, config.updates, config.record, examine, times=10)


def signalled_copy(scale: Scale, lengths: Sequence[int]) -> list[Case]:
    """By cells that hold for long."""
    return [
        case
        for asked in _asked("SignalledCopy({})", lengths, 20)
        for case in supervised(scale, asked, COPYING[scale], 10, _lasting(asked.length))
    ]


def scattered_copy(scale: Scale, lengths: Sequence[int]) -> list[Case]:
    """By an LSTM. Which datum a signal asks for depends on how many came before, at any time: its surroundings are told by
    units that begin apart, and hold for as long as the episode.
    """
    cases = []
    for asked in _asked("ScatteredCopy({})", lengths, 20):
        context = f"LSTM({{}}, gates=Chrono({asked.length}), input_init=Normal(1.0))"
        cases += supervised(scale, asked, COPYING[scale], 10, _lasting(asked.length)[:1], context)
    return cases


def _lasting(length: int) -> tuple[str, str, str]:
    """An LSTM that at first forgets 2 % of what it holds with each step, linear units and a GRU; over hundreds of steps,
    such as are made to hold for long.
    """
    if length < FAR:
        return "LSTM({}, gates=Forget(4.0))", "LRU({})", "GRU({})"
    return f"LSTM({{}}, gates=Chrono({length}))", LASTING_LRU, "GRU({}, gates=Forget(5.0))"


def adding(scale: Scale, lengths: Sequence[int]) -> list[Case]:
    """By an LSTM as it is; over a thousand steps, by one that holds for long."""
    cases = []
    for asked in _asked("Adding({})", lengths):
        memory = "LSTM({})" if asked.length < THOUSAND else _lasting(asked.length)[0]
        cases += supervised(scale, asked, ADDING[scale], 1, (memory,))
    return cases


def pixels(scale: Scale) -> list[Case]:
    """Images of 784 pixels, and of four times as many, where there are any: otherwise small ones, enlarged."""
    cases = []
    digits = given("mnist") is None
    for enlarged in {"smoke": (1,), "laptop": (3,) if digits else (1,), "paper": (3, 7) if digits else (1, 2)}[scale]:
        task, shown = permuted_pixels(enlarged)
        asked = Asked(task, shown.pixels, 30 if shown.pixels < THOUSAND else 60)
        held_out = min(1000, len(shown.held["test"].labels))
        cases += supervised(scale, asked, PIXELS[scale], 1, ("LSTM({})",), held_out=held_out)
    return cases


SUPERVISED = (
    "MemUP with gradients through 10 steps, 20 where episodes have a thousand; beside it who learns as usual, through "
    "whole episodes, and through as many steps as MemUP stores. All go through as many episodes, but for the transformer, "
    f"which goes through one in {SHARE}. By the steps of an episode, the mean of 3 seeds and half of its 95 % interval."
)
