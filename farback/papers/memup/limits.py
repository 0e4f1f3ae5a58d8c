"""The longest corridor that each way of learning to remember masters in a given time, and the cost of an update."""

import math
import time
from collections.abc import Sequence
from functools import partial

from farback.papers.engine.item import Case, Metric, Place
from farback.papers.engine.runs import Words, clipped_adam, computed
from farback.papers.memup.mazes import maze, memory
from farback.papers.memup.supervised import LASTING_LRU
from farback.runs.config import Config, configure
from farback.runs.log import Row
from farback.sweeps.certify import certify

LONGEST = Metric("charts/longest", "steps")
COSTS = tuple(Metric(f"charts/{unit}", unit) for unit in ("states", "megabytes", "microseconds"))

LSTM, GRU, LRU = (f"Chain(MLP(64, layers=1), {cell.format(64)})" for cell in ("LSTM({})", "GRU({})", LASTING_LRU))
MEMUP = Words(algorithm="memup", data="RandomEpisodes(TMaze({}, extra=10))", window=1)
NOW: Words = MEMUP | {"selector": "TopK(0)", "window": None}
PPO = Words(algorithm="ppo", env="TMaze({}, extra=10)", shared_memory=True, window=None)
# fmt: off
WAYS: dict[str, Words] = {
    "MemUP: LSTM": MEMUP | {"cell": LSTM}, "MemUP: GRU": MEMUP | {"cell": GRU}, "MemUP: LRU": MEMUP | {"cell": LRU},
    "MemUP by RTRL: RTU": MEMUP | {"cell": "RTU(64)", "estimator": "RTRL()"},
    "MemUP by UORO: GRU": MEMUP | {"cell": "GRU(64)", "estimator": "UORO()"},
    "backpropagation: LSTM": NOW | {"cell": LSTM}, "backpropagation: LRU": NOW | {"cell": LRU},
    "PPO: LSTM": PPO | {"cell": LSTM}, "PPO: LRU": PPO | {"cell": LRU},
    "PPO by TBPTT(10): LSTM": PPO | {"cell": LSTM, "window": 100, "estimator": "TBPTT(10)"},
    "PPO by RTRL: RTU": PPO | {"cell": "RTU(64)", "window": 10, "estimator": "RTRL()"},
}
# fmt: on
"""Configurations, with {} for the corridor; a window of `None` is an episode."""


def config_of(way: str, corridor: int, seeds: int) -> Config:
    """The configuration of a way of learning in a corridor."""
    words: Words = {"estimator": "BPTT()", "optimizer": clipped_adam(1e-3), "seeds": seeds} | WAYS[way]
    source, batch = ("data", "batch_size") if words["algorithm"] == "memup" else ("env", "num_envs")
    words |= {source: words[source].format(corridor), batch: 32}
    return configure(**words) if words["window"] else configure(**words | Words(window=1)).with_episode_window()


def longest(size: int, minutes: float, seeds: int) -> list[Case]:
    """A memory learns to predict the reward at the junction, or an agent to turn there."""

    def found(way: str, place: Place) -> tuple[list[Row], str]:
        attempts = certify(lambda size: config_of(way, size, seeds).program(), size, 60 * minutes)
        *solved, last = place.track(place.title, attempts)
        size_mastered = float(max((one.size for one in solved), default=0))
        row = {"update": last.updates, "step": 0, "seed": 0, LONGEST.name: size_mastered}
        note = f"at {last.size:,} steps: mastery {last.percent} by seed after {last.updates:,} "
        note += "passes" if "data" in WAYS[way] else "updates"
        return [row], note if all(map(math.isfinite, last.mastery)) else f"{note}; one seed is not finite"

    return [Case(way, computed(partial(found, way))) for way in WAYS]


def costs(corridors: Sequence[int], units: int, batch: int) -> list[Case]:
    """Passes through the same episodes: with windows of one step and one target, and with credit through whole episodes."""
    cases = []
    for corridor in corridors:
        config, episode = configure(**memory(maze(corridor), batch, units)), corridor + 10
        whole, root = config.replace(selector="TopK(0)", window=episode), 2 * round(episode**0.5)
        ways = {"MemUP, window 1": (config, 2), "BPTT": (whole, episode)}
        ways |= {"BPTT, segmented": (whole.replace(estimator="BPTT(segmented=True)"), root)}
        cases += [Case(f"{corridor}: {way}", computed(partial(_cost, *each))) for way, each in ways.items()]
    return cases


def _cost(config: Config, states: int, place: Place, least_seconds: float = 2.0) -> tuple[list[Row], str]:
    del place
    program = config.program()
    program.compile()
    state, passes, spent = program.advance(program.init(), 1, 0)[0], 0, 0.0
    while spent < least_seconds:
        began = time.perf_counter()
        state = program.advance(state, 1, passes + 1)[0]
        passes, spent = passes + 1, spent + time.perf_counter() - began
    found = states, program.scratch / 1e6, 1e6 * spent / (passes * program.steps)
    row = {"update": passes, "step": passes * program.steps, "seed": config.seed}
    return [row | {metric.name: value for metric, value in zip(COSTS, found, strict=True)}], ""
