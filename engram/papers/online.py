"""Past the papers: who learns a stream as it comes, after as many steps and after as long."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import jax

from engram.cells import Chain
from engram.estimators import AbstractEstimator
from engram.learner import Learner
from engram.papers.item import Case, Item, Scale, Unit, seeded, timed, trained
from engram.papers.uoro import BITS, cell_of
from engram.runs.optimiser import build_optimiser
from engram.runs.spec import build, build_cell
from engram.runs.trial import StreamTrial
from engram.tasks import AbstractTask, Adding, AnBn, Brackets, Copy

TITLE = "Learning online today"
HIDDEN = 48
"""The units of the layer that reads the cells."""


class Entry(NamedTuple):
    """Who takes part: a cell with an estimator, the steps from one update to the next, and the optimiser."""

    cell: str
    estimator: str
    length: int
    optimiser: str


class Amount(NamedTuple):
    """The steps of all sequences of a seed, the seconds of all seeds together, and the seeds."""

    steps: int
    seconds: float
    seeds: int


class Race(NamedTuple):
    """A task, the sequences that learn it together, who takes part, and how much of it."""

    task: str
    batch: int
    entries: Sequence[Entry]
    amounts: Mapping[Scale, Amount]


def cases(race: Race, scale: Scale, by_time: bool) -> list[Case]:
    """Those who take part, or the first and the last of them where it is only tried."""
    entries = [race.entries[0], race.entries[-1]] if scale == "smoke" else race.entries
    return [_case(race, entry, race.amounts[scale], by_time) for entry in entries]


def _case(race: Race, entry: Entry, amount: Amount, by_time: bool) -> Case:
    """Every cell is read by a layer of rectified units, without which the linear ones would be linear in all."""
    task = build(race.task, AbstractTask)

    def make(key):
        cell_key, hidden_key, readout_key = jax.random.split(key, 3)
        cell, width = build_cell(entry.cell, task.input_size, key=cell_key)
        hidden = eqx.nn.Linear(width, HIDDEN, key=hidden_key)
        return Chain(cell, hidden, jax.nn.relu, eqx.nn.Linear(HIDDEN, task.output_size, key=readout_key))

    learner = Learner(task, build(entry.estimator, AbstractEstimator), build_optimiser(entry.optimiser))
    trial = StreamTrial(learner, make, race.batch, entry.length)
    updates = amount.steps // trial.steps

    program = seeded(trial, amount.seeds, updates // 200)
    name = f"{entry.cell.partition('(')[0]}, {entry.estimator}"
    record = {"task": race.task, "batch": race.batch, "hidden": HIDDEN, **entry._asdict()}
    if by_time:
        return timed(name, program, amount.seconds, record)
    return trained(name, program, updates, record)


def items(
    name: str,
    title: str,
    shows: str,
    race: Race,
    minutes: Mapping[Scale, float],
    metric: str,
    unit: Unit,
    levels: Mapping[str, float],
) -> list[Item]:
    """A race to as many steps, and the same runs again to as many seconds, for which some of them go on."""
    laptop, paper = race.amounts["laptop"], race.amounts["paper"]
    by_steps = f"{laptop.steps:,} steps, or {paper.steps:,} at the scale of a paper; the mean over the last tenth. {shows}"
    by_time = (
        f"The same runs after as long: {laptop.seconds:g} seconds of all seeds together, or {paper.seconds:g} at "
        "the scale of a paper; the mean over the last tenth of what each got through."
    )
    item = Item(name, title, by_steps, lambda scale: cases(race, scale, False), minutes, metric, unit, levels)
    return [
        item,
        item._replace(
            name=f"{name}-time",
            title=f"{title}, by time",
            shows=by_time,
            cases=lambda scale: cases(race, scale, True),
            minutes={
                scale: max(1, round(len(race.entries) * amount.seconds / 60)) for scale, amount in race.amounts.items()
            },
            runs=name,
        ),
    ]


ANY = (
    *(("TBPTT(1)", 1), ("TBPTT(16)", 16), ("TBPTT(64)", 64), ("ARTBP(16, 6.0)", 64)),
    *(("UORO()", 1), ("UORO(rank=4)", 1)),
)
"""Estimators for any cell, each with the steps from one update to the next."""
STREAMS = {
    cell_of("GRU", 32): (*ANY, ("KFRTRL()", 1), ("SnAp(1)", 1), ("RTRL()", 1)),
    cell_of("LSTM", 32): (*ANY, ("KFRTRL()", 1), ("SnAp(1)", 1), ("RTRL()", 1)),
    "LRU(36)": (*ANY, ("RTRL()", 1)),
    "RTU(48)": (*ANY, ("RTRL()", 1)),
}


def symbols(task: str, rate: float) -> Race:
    """One stream, with Adam's steps of the thesis: 10⁻³ / (1 + α √t), t in symbols."""
    return Race(
        task,
        1,
        [
            Entry(cell, estimator, length, f"adam(inverse_sqrt_schedule(1e-3, {rate}, {length}))")
            for cell, estimators in STREAMS.items()
            for estimator, length in estimators
        ],
        {"smoke": Amount(2_000, 1, 2), "laptop": Amount(1_000_000, 60, 2), "paper": Amount(10_000_000, 600, 5)},
    )


def delayed(task: str, episode: int, cells: Mapping[str, str]) -> Race:
    """Sixteen sequences in episodes: backpropagation through whole ones, and the others with an update every ten steps."""
    return Race(
        task,
        16,
        [
            Entry(cell, estimator, episode if estimator == "BPTT()" else 10, "adam(3e-3)")
            for cell, estimators in cells.items()
            for estimator in estimators.split()
        ],
        {"smoke": Amount(20_000, 1, 2), "laptop": Amount(3_000_000, 60, 2), "paper": Amount(30_000_000, 600, 5)},
    )


LEFT_OUT = (
    "Cells are of about as many parameters. ARTBP has windows of 64, which cut its credit. LRU and RTU have no KFRTRL, "
    "which wants a cell that is linear in its parameters; SnAp(1) is RTRL there; RFLO wants a leak, which no cell here has."
)

ITEMS = [
    *items(
        "online/brackets",
        "Distant brackets (1, 5, 10)",
        f"Who gets below what is to be had without the distance. {LEFT_OUT}",
        symbols("Brackets(1, 5, 10)", 0.015),
        {"smoke": 1, "laptop": 28, "paper": 1500},
        "losses/loss",
        BITS,
        {"optimum": BITS.factor * Brackets(1, 5, 10).optimum, "distance-blind": BITS.factor * Brackets(1, 5, 10).blind},
    ),
    *items(
        "online/anbn",
        "aⁿbⁿ, n in 1 to 32",
        f"Who counts. {LEFT_OUT}",
        symbols("AnBn(1, 32)", 0.03),
        {"smoke": 1, "laptop": 25, "paper": 1200},
        "losses/loss",
        BITS,
        {"optimum": BITS.factor * AnBn(1, 32).optimum, "counts not matched": 2 * BITS.factor * AnBn(1, 32).optimum},
    ),
    *items(
        "online/copy",
        "Copy, T = 100",
        "Linear cells can keep the data in their phases.",
        delayed(
            "Copy(100)",
            120,
            {
                "GRU(48)": "BPTT() SnAp(1) UORO()",
                "LSTM(48)": "BPTT()",
                "ELSTM(64)": "BPTT() RTRL() UORO()",
                "RTU(64, 0.9, 0.999)": "BPTT() RTRL() UORO()",
                "LRU(64, 0.9, 0.999)": "BPTT() RTRL() UORO()",
            },
        ),
        {"smoke": 1, "laptop": 15, "paper": 400},
        "losses/loss",
        Unit("nats a step"),
        {"optimum": 0.0, "guess of the data": Copy(100).blind},
    ),
    *items(
        "online/adding",
        "Adding, T = 100",
        "LRU and RTU are left out: a linear recurrence keeps sums of what it is shown, and here products are wanted, of a "
        "number and its mark.",
        delayed(
            "Adding(100)",
            100,
            {
                "GRU(48)": "BPTT() SnAp(1) UORO()",
                "LSTM(48)": "BPTT()",
                "MinGRU(64)": "BPTT() RTRL() UORO()",
                "ELSTM(64)": "BPTT() RTRL() UORO()",
            },
        ),
        {"smoke": 1, "laptop": 15, "paper": 400},
        "charts/squared_error",
        Unit("squared error"),
        {"optimum": 0.0, "the answer 1": 100 * Adding(100).blind},
    ),
]
