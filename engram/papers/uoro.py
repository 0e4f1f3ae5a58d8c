"""Unbiased online recurrent optimisation: Tallec and Ollivier, ICLR 2018; thesis chapter 3."""

import math
import re
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from engram.estimators import RTRL, TBPTT, UORO, AbstractEstimator
from engram.learner import Learner
from engram.papers.item import Case, Item, Scale, Unit, configured, last_steps, trained
from engram.papers.variance import ITEMS as VARIANCE
from engram.runs.config import Config
from engram.runs.program import Program
from engram.runs.trial import StreamTrial
from engram.tasks import InfluenceBalancing

TITLE = "Unbiased online recurrent optimisation"
BITS = Unit("bits", 1 / math.log(2))


def influence_case(
    estimator: AbstractEstimator, name: str, length: int, steps: int, seeds: int, eta: Callable[[Any], Any]
) -> Case:
    """Plain gradient descent on the sum of a window's losses, with a step of η_t, t in time steps."""
    task = InfluenceBalancing(23, 13)
    optimiser = optax.sgd(lambda count: length * eta(count * length))
    trial = StreamTrial(Learner(task, estimator, optimiser), lambda key: task.system(), 1, length)
    updates = steps // length
    every = max(1, updates // 500)

    def program(devices: int) -> Program:
        return Program(trial, range(seeds), every, devices if seeds % devices == 0 else 1)

    return trained(name, program, updates, {"estimator": name, "steps": steps, "eta": 3e-4, "theta": 0.5})


def influence(scale: Scale) -> list[Case]:
    steps = {"smoke": 4_000, "laptop": 1_000_000, "paper": 1_000_000}[scale]

    def eta(t):
        return 3e-4 / (1 + jnp.sqrt(t))

    truncated = [influence_case(TBPTT(length), f"TBPTT({length})", length, steps, 1, eta) for length in (1, 10, 100, 200)]
    return [
        influence_case(UORO(), "UORO()", 1, steps, 2 if scale == "smoke" else 6, eta),
        influence_case(RTRL(), "RTRL()", 1, steps, 1, eta),
        *truncated,
    ]


def character_case(
    task: str, cell: str, estimator: str, length: int, rate: float, steps: int, seeds: int, claimed: float | None = None
) -> Case:
    """One pass over a stream, one sequence at a time: Adam with a step of 10⁻³ / (1 + α √t), t in symbols."""
    config = Config(
        task=task,
        cell=cell,
        estimator=estimator,
        optimiser=f"adam(inverse_sqrt_schedule(1e-3, {rate}, {length}))",
        batch=1,
        length=length,
        steps=steps,
        seed=0,
        seeds=seeds,
        log_every=max(1, steps // length // 1000),
    )
    return configured(f"{estimator}, {cell.partition('(')[0]}", config, claimed)


CLAIMS = {
    ("LSTM", "UORO()"): 0.147,
    ("LSTM", "UORO(memory=2)"): 0.149,
    ("LSTM", "UORO(memory=16)"): 0.154,
    ("LSTM", "TBPTT(1)"): 0.178,
    ("LSTM", "TBPTT(2)"): 0.149,
    ("LSTM", "TBPTT(16)"): 0.144,
    ("GRU", "UORO()"): 0.155,
    ("GRU", "UORO(memory=2)"): 0.174,
    ("GRU", "UORO(memory=16)"): 0.149,
    ("GRU", "TBPTT(1)"): 0.231,
    ("GRU", "TBPTT(2)"): 0.285,
    ("GRU", "TBPTT(16)"): 0.207,
}
"""Table 3.1, in bits a character."""


def anbn(scale: Scale) -> list[Case]:
    """The twelve cells of the table, or four of them where it is only tried."""
    steps, seeds = {"smoke": (4_000, 2), "laptop": (10_000_000, 3), "paper": (10_000_000, 10)}[scale]
    cases = []
    for (cell, estimator), claimed in CLAIMS.items():
        if scale == "smoke" and estimator not in ("UORO(memory=2)", "TBPTT(16)"):
            continue
        number = re.search(r"\d+", estimator)
        length = int(number[0]) if number else 1
        cases.append(character_case("AnBn(1, 32)", f"{cell}(64)", estimator, length, 0.03, steps, seeds, claimed))
    return cases


def brackets(scale: Scale) -> list[Case]:
    """UORO beside truncation to 4 steps, which cannot see a group come back after 8."""
    steps, seeds = {"smoke": (4_000, 2), "laptop": (3_000_000, 4), "paper": (10_000_000, 10)}[scale]
    return [
        character_case("Brackets(1, 5, 10)", f"{cell}(64)", estimator, length, 0.015, steps, seeds)
        for cell in ("LSTM", "GRU")
        for estimator, length in (("UORO()", 1), ("TBPTT(4)", 4))
    ]


ITEMS = [
    Item(
        "uoro/influence",
        "Influence balancing (fig. 3.2a)",
        "23 units, 13 of them pushed down: UORO converges to θ = −1/6; truncated backpropagation does not, unless it looks "
        "back at 110 steps or more. Shown is θ.",
        influence,
        {"smoke": 1, "laptop": 10, "paper": 10},
        "charts/theta",
        Unit("θ"),
        {"optimum": -1 / 6},
    ),
    Item(
        "uoro/brackets",
        "Distant brackets (1, 5, 10) (fig. 3.2b)",
        "Prediction of the next symbol, one pass: UORO gets below what is to be had without the distance, towards the "
        "optimum; TBPTT(4) stays near it, with the LSTM. The mean over the last 10⁵ symbols.",
        brackets,
        {"smoke": 1, "laptop": 20, "paper": 180},
        "losses/loss",
        BITS,
        {"optimum": 6 * math.log2(10) / 12, "distance-blind": 7 * math.log2(10) / 12},
        last_steps(100_000),
    ),
    Item(
        "uoro/anbn",
        "aⁿbⁿ, n in 1 to 32 (table 3.1)",
        "Prediction of the next symbol, one pass over 10⁷ symbols, one at a time; the mean over the last 10⁵.",
        anbn,
        {"smoke": 1, "laptop": 110, "paper": 300},
        "losses/loss",
        BITS,
        {"optimum": 5 / 35, "counts not matched": 10 / 35},
        last_steps(100_000),
    ),
    *VARIANCE,
]
