"""Beyond the papers: online learning on streams, compared after equal steps and after equal time."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from farback.cell import output_size
from farback.estimators import AbstractEstimator
from farback.learner import Supervised
from farback.network import Network
from farback.papers.engine.item import NATS, SQUARED_ERROR, Case, Item, Metric
from farback.papers.engine.runs import constructed, log, log_of_seconds
from farback.papers.uoro.streams import ANBN, BITS, BRACKETS, adam, cell_of
from farback.runs.kinds import CellExpression, build
from farback.runs.optimizers import OptimizerExpression
from farback.tasks import AbstractTask, Adding, AnBn, Brackets, Copy

TITLE = "Learning online today"
HIDDEN = 48
"""The units of the layer that reads the cells."""
ANY = {"TBPTT(1)": 1, "TBPTT(16)": 16, "TBPTT(64)": 64, "ARTBP(16, 6.0)": 64, "UORO()": 1, "UORO(rank=4)": 1}
"""Estimators for any cell, each with its window."""
GATED = ANY | {"KFRTRL()": 1, "SnAp(1)": 1, "RTRL()": 1}
LINEAR = dict.fromkeys(("LRU(36)", "RTU(48)"), ANY | {"RTRL()": 1})
STREAMS = {cell_of("GRU", 32): GATED, cell_of("LSTM", 32): GATED, **LINEAR}
DENSE, DIAGONAL = {"GRU(48)": "BPTT() SnAp(1) UORO()", "LSTM(48)": "BPTT()"}, "BPTT() RTRL() UORO()"
COPYING = DENSE | dict.fromkeys(("ELSTM(64)", "RTU(64, 0.9, 0.999)", "LRU(64, 0.9, 0.999)"), DIAGONAL)
ADDING = DENSE | dict.fromkeys(("MinGRU(64)", "ELSTM(64)"), DIAGONAL)
"""Cells, each with its estimators."""


class Race(NamedTuple):
    """A task, its parallel sequences, the steps at every scale, and the entries: cell, estimator, window, optimizer."""

    task: str
    batch: int
    steps: tuple[int, int, int]
    entries: Sequence[tuple[str, str, int, str]]


def symbols(task: str, rate: float) -> Race:
    """One stream, with the thesis's Adam: 10⁻³ / (1 + α √t), t in symbols."""
    ways = ((cell, *each) for cell, estimators in STREAMS.items() for each in estimators.items())
    return Race(task, 1, (2_000, 1_000_000, 10_000_000), [(*way, adam(rate, way[2])) for way in ways])


def delayed(task: str, episode: int, cells: dict[str, str]) -> Race:
    """Sixteen sequences of episodes: BPTT through whole episodes; the other estimators update every ten steps."""
    ways = ((cell, estimator) for cell, estimators in cells.items() for estimator in estimators.split())
    entries = [(*way, episode if way[1] == "BPTT()" else 10, "adam(3e-3)") for way in ways]
    return Race(task, 16, (20_000, 3_000_000, 30_000_000), entries)


class HiddenReadout(eqx.Module):
    """A network with a hidden layer of rectified units in the readout: without it, a linear cell makes a linear network."""

    cell: CellExpression

    def __call__(self, task: AbstractTask, *, key: PRNGKeyArray) -> Network:
        cell_key, hidden_key, readout_key = jax.random.split(key, 3)
        cell = self.cell(task.input_size, key=cell_key)
        hidden = eqx.nn.Linear(output_size(cell, task.input_size), HIDDEN, key=hidden_key)
        readout = eqx.nn.Linear(HIDDEN, task.output_size, key=readout_key)
        head = eqx.nn.Sequential([hidden, eqx.nn.Lambda(jax.nn.relu), readout])
        return Network(eqx.nn.Identity(), cell, head)


def race_cases(race: Race, steps: int, seconds: float | None, seeds: int) -> list[Case]:
    """All entries, for equal steps or for equal time."""
    task = build(race.task, AbstractTask)

    def case(cell: str, estimator: str, window: int, optimizer: str) -> Case:
        network, made = HiddenReadout(CellExpression(cell)), build(estimator, AbstractEstimator)
        algorithm = Supervised(task, network, made, OptimizerExpression(optimizer), race.batch, window)
        record = {"task": race.task, "batch": race.batch, "hidden": HIDDEN}
        record |= {"cell": cell, "estimator": estimator, "window": window, "optimizer": optimizer}
        training = constructed(algorithm, steps // algorithm.steps_per_update, seeds, 200, record)
        measure = log(training) if seconds is None else log_of_seconds(training, seconds)
        return Case(f"{cell.partition('(')[0]}, {estimator}", measure)

    return [case(*entry) for entry in race.entries]


def items(
    name: str, title: str, race: Race, minutes: tuple[int, int], metric: Metric, levels: Mapping[str, float], shows: str
) -> list[Item]:
    """A race of equal steps, and one of equal time, which continues some of the runs. `minutes` are those of the former."""
    of_scale = {"race": (race,) * 3, "steps": race.steps, "seconds": (None,) * 3, "seeds": (2, 2, 5)}
    shows = f"{race.steps[1]:,} steps, or {race.steps[2]:,} with `--scale paper`; the mean over the last tenth. {shows}"
    by_steps = Item(name, title, shows, race_cases, of_scale, (1, *minutes), metric, levels, smoke=(0, -1))
    first, second, third = (max(1, round(len(race.entries) * seconds / 60)) for seconds in (1, 60, 600))
    by_time = by_steps._replace(
        name=f"{name}-time",
        title=f"{title}, by time",
        shows="The same runs after equal time: 60 seconds for all seeds together, or 600 with `--scale paper`; the mean "
        "over the last tenth of each run's steps.",
        settings=of_scale | {"seconds": (1, 60, 600)},
        minutes=(first, second, third),
        runs=name,
    )
    return [by_steps, by_time]


LEFT_OUT = (
    "All cells have about the same number of parameters. ARTBP's windows of 64 steps cut its credit. For LRU and RTU, "
    "KFRTRL is left out because it requires a cell that is linear in its parameters, and SnAp(1) because it equals RTRL. "
    "RFLO is left out because it requires a leak, which none of these cells has."
)
OF_BRACKETS, OF_COUNTING = Brackets(1, 5, 10), BITS.factor * AnBn(1, 32).optimum

# fmt: off
ITEMS = [
    *items("online/brackets", "Distant brackets (1, 5, 10)", symbols(*BRACKETS), (28, 1500), BITS,
        {"optimum": BITS.factor * OF_BRACKETS.optimum, "distance-blind": BITS.factor * OF_BRACKETS.blind},
        f"The distance-blind level is the best loss without the distance. {LEFT_OUT}"),
    *items("online/anbn", "AnBn, n in 1 to 32", symbols(*ANBN), (25, 1200), BITS,
        {"optimum": OF_COUNTING, "counts not matched": 2 * OF_COUNTING},
        f"A loss below the upper level requires counting. {LEFT_OUT}"),
    *items("online/copy", "Copy after 100 steps", delayed("Copy(100)", 120, COPYING), (15, 400), NATS,
        {"optimum": 0.0, "guess of the data": Copy(100).blind}, "Linear cells can store the data in their phases."),
    *items("online/adding", "Adding over 100 steps", delayed("Adding(100)", 100, ADDING), (15, 400), SQUARED_ERROR,
        {"optimum": 0.0, "the answer 1": 100 * Adding(100).blind},
        "LRU and RTU are left out: a linear recurrence sums its inputs, and this task needs the product of a number and "
        "its mark."),
]
