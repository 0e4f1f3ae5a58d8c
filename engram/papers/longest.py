"""The longest corridor that each way of learning to remember masters in a given time."""

import dataclasses
import math
from typing import Any, NamedTuple

from engram.papers.item import Case, Measured, Place, Scale, kept
from engram.papers.optimisers import adam
from engram.papers.supervised import LASTING_LRU
from engram.runs.certify import Attempt, certify
from engram.runs.config import Config

LONGEST = "charts/longest"


class Way(NamedTuple):
    """A way of learning to remember.

    - `cell`: the memory.
    - `objective`: what it is asked of random play; if `None`, it is an agent's, by PPO.
    - `window`: the steps between two updates; if `None`, an episode.
    - `estimator`: how credit passes through them.
    """

    cell: str
    objective: str | None
    window: int | None
    estimator: str = "BPTT()"


ASKED, NOW = "MemUP()", "MemUP(Surprising(0))"
LSTM, GRU, LRU = (f"Chain(Perceptron(64, layers=1), {cell.format(64)})" for cell in ("LSTM({})", "GRU({})", LASTING_LRU))
WAYS = {
    "MemUP: LSTM": Way(LSTM, ASKED, 1),
    "MemUP: GRU": Way(GRU, ASKED, 1),
    "MemUP: LRU": Way(LRU, ASKED, 1),
    "MemUP by RTRL: RTU": Way("RTU(64)", ASKED, 1, "RTRL()"),
    "MemUP by UORO: GRU": Way("GRU(64)", ASKED, 1, "UORO()"),
    "backpropagation: LSTM": Way(LSTM, NOW, None),
    "backpropagation: LRU": Way(LRU, NOW, None),
    "PPO: LSTM": Way(LSTM, None, None),
    "PPO: LRU": Way(LRU, None, None),
    "PPO by TBPTT(10): LSTM": Way(LSTM, None, 100, "TBPTT(10)"),
    "PPO by RTRL: RTU": Way("RTU(64)", None, 10, "RTRL()"),
}
"""By who learns, and by cell."""


def longest(scale: Scale) -> list[Case]:
    """A memory learns to tell what will come at the junction, or an agent to turn there."""
    size, minutes, seeds = {"smoke": (2, 0.0005, 2), "laptop": (16, 10, 5), "paper": (16, 60, 5)}[scale]
    ways = list(WAYS.items()) if scale != "smoke" else [("MemUP: LSTM", WAYS["MemUP: LSTM"])]
    return [_longest(name, way, size, 60 * minutes, seeds) for name, way in ways]


def _longest(name: str, way: Way, size: int, seconds: float, seeds: int) -> Case:
    def found(place: Place) -> dict[str, Any]:
        attempts = list(place.each(certify(lambda size: _config(way, size, seeds).program(), size, seconds)))
        solved = max((attempt.size for attempt in attempts if attempt.solved), default=0)
        row = {"update": attempts[-1].updates, "step": 0, "seed": 0, LONGEST: float(solved)}
        return {"rows": [row], "note": _failed(way, attempts[-1])}

    def measure(place: Place) -> Measured:
        there = kept(place.home / "longest.json", lambda: found(place))
        return Measured(there["rows"], note=there["note"])

    return Case(name, measure)


def _config(way: Way, corridor: int, seeds: int) -> Config:
    env, acts = f"TMaze({corridor}, extra=10)", way.objective is None
    config = Config(
        task=None,
        env=env if acts else None,
        agent="PPO()" if acts else None,
        episodes=None if acts else f"RandomPlay({env})",
        objective=way.objective,
        cell=way.cell,
        estimator=way.estimator,
        optimiser=adam("1e-3"),
        batch=32,
        length=way.window or 1,
        steps=1,
        seed=0,
        seeds=seeds,
        shared=acts,
    )
    return config if way.window else dataclasses.replace(config, length=config.episode)


def _failed(way: Way, attempt: Attempt) -> str:
    """What came of the corridor that was too long."""
    told = f"of {attempt.size:,} steps each seed had {attempt.percent} after {attempt.updates:,} "
    told += "updates" if way.objective is None else "passes"
    return told if all(map(math.isfinite, attempt.mastery)) else f"{told}, when one was no longer finite"
