"""What MemUP stores, needs and takes, beside credit through whole episodes."""

import dataclasses
import time

from engram.papers.item import Case, Measured, Scale, kept
from engram.papers.mazes import Effort, maze, remembering
from engram.runs.config import Config
from engram.runs.log import Row

STATES, MEGABYTES, MICROSECONDS = "charts/states", "charts/megabytes", "charts/microseconds"
LEAST = 2.0
"""Seconds that are timed."""


def costs(scale: Scale) -> list[Case]:
    """Passes through the same episodes: with windows of a step and one target, and with credit through all of them."""
    corridors, effort = {
        "smoke": ((6,), Effort(4, 4, 1)),
        "laptop": ((100, 1000, 20_000), Effort(128, 16, 1)),
        "paper": ((100, 1000, 20_000), Effort(256, 64, 1)),
    }[scale]
    cases = []
    for corridor in corridors:
        whole = remembering(maze(corridor), "MemUP(Surprising(0))", 1, effort, 1)
        whole = dataclasses.replace(whole, length=whole.episode)
        ways = {
            "MemUP, window 1": (remembering(maze(corridor), "MemUP()", 1, effort, 1), 2),
            "BPTT": (whole, whole.episode),
            "BPTT, segmented": (
                dataclasses.replace(whole, estimator="BPTT(segmented=True)"),
                2 * round(whole.episode**0.5),
            ),
        }
        cases += [_cost(f"{corridor}: {way}", *each) for way, each in ways.items()]
    return cases


def _cost(name: str, config: Config, states: int) -> Case:
    def measured() -> list[Row]:
        program = config.program()
        program.compile()
        running, passes, spent = program.advance(program.init(), 1, 0)[0], 0, 0.0
        while spent < LEAST:
            began = time.perf_counter()
            running = program.advance(running, 1, passes + 1)[0]
            passes, spent = passes + 1, spent + time.perf_counter() - began
        found = {STATES: states, MEGABYTES: program.scratch / 1e6, MICROSECONDS: 1e6 * spent / (passes * program.steps)}
        return [{"update": passes, "step": passes * program.steps, "seed": config.seed, **found}]

    return Case(name, lambda place: Measured(kept(place.home / "cost.json", measured)))
