"""Unbiased online recurrent optimisation: Tallec and Ollivier, ICLR 2018; thesis chapter 3."""

import math
import re
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from engram.estimators import RTRL, TBPTT, UORO, AbstractEstimator
from engram.learner import Learner
from engram.papers.item import Case, Item, Scale, Unit, configured, last_steps, seeded, trained
from engram.papers.variance import ITEMS as VARIANCE
from engram.runs.config import Config
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
    program = seeded(trial, seeds, updates // 500)
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


def cell_of(kind: str, size: int) -> str:
    """A cell that begins as in the authors' code, whose symbols are embedded: its input weights have variance 1 (GRU), or
    1/3 (LSTM, by one more layer), and the LSTM a forget bias of −0.3.

    This is no detail: where inputs weigh as little as states do, U(−1/√n, 1/√n), UORO is still at the distance-blind level
    of the brackets after 3·10⁶ symbols.
    """
    begins = {"GRU": "input_init=Normal(1.0)", "LSTM": f"input_init=Normal({3**-0.5:.3f}), gates=Forget(-0.3)"}
    return f"{kind}({size}, {begins[kind]})"


def character_case(
    task: str,
    kind: str,
    estimator: str,
    rate: float,
    steps: int,
    seeds: int,
    claimed: float | None = None,
    size: int = 64,
    gamma: float = 1e-3,
) -> Case:
    """One pass over a stream, one sequence at a time: Adam with a step of γ / (1 + α √t), t in symbols.

    A truncated estimator, or one with a memory, updates as often as it looks back.
    """
    looks_back = re.search(r"(TBPTT|memory).(\d+)", estimator)
    length = int(looks_back[2]) if looks_back else 1
    config = Config(
        task=task,
        cell=cell_of(kind, size),
        estimator=estimator,
        optimiser=f"adam(inverse_sqrt_schedule({gamma:g}, {rate}, {length}))",
        batch=1,
        length=length,
        steps=steps,
        seed=0,
        seeds=seeds,
        log_every=max(1, min(10_000, steps // 100) // length),
    )
    other = (f" of {size}" if size != 64 else "") + (f", γ = {gamma:g}" if gamma != 1e-3 else "")
    return configured(f"{estimator}, {kind}{other}", config, claimed)


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
    """The twelve cells of the table, and what the thesis does not have, the slow ones with fewer seeds."""
    steps, seeds, few = {"smoke": (4_000, 2, 2), "laptop": (10_000_000, 3, 1), "paper": (10_000_000, 10, 3)}[scale]
    lines = [(kind, estimator, claimed, 64, seeds) for (kind, estimator), claimed in CLAIMS.items()]
    lines += [("GRU", "UORO(rank=4)", None, 64, seeds)]
    lines += [("GRU", estimator, None, 64, few) for estimator in ("KFRTRL()", "SnAp(1)")]
    lines += [("LSTM", "RTRL()", None, 16, few), ("GRU", "RTRL()", None, 16, few)]
    return [
        character_case("AnBn(1, 32)", kind, estimator, 0.03, steps, seeds, claimed, size)
        for kind, estimator, claimed, size, seeds in (lines if scale != "smoke" else lines[1:6:4] + lines[-1:])
    ]


def step_sizes(scale: Scale) -> list[Case]:
    """UORO on aⁿbⁿ with other steps than the thesis's 10⁻³."""
    gammas, steps, seeds = {
        "smoke": ((3e-3,), 4_000, 2),
        "laptop": ((3e-4, 3e-3), 10_000_000, 2),
        "paper": ((3e-4, 3e-3, 1e-2), 10_000_000, 10),
    }[scale]
    return [character_case("AnBn(1, 32)", "GRU", "UORO()", 0.03, steps, seeds, gamma=gamma) for gamma in gammas]


def brackets(scale: Scale) -> list[Case]:
    """UORO beside truncation to 4 steps, which cannot see a group come back after 8."""
    steps, seeds = {"smoke": (4_000, 2), "laptop": (10_000_000, 3), "paper": (10_000_000, 10)}[scale]
    return [
        character_case("Brackets(1, 5, 10)", kind, estimator, 0.015, steps, seeds)
        for kind in ("LSTM", "GRU")
        for estimator in ("UORO()", "TBPTT(4)")
    ]


ITEMS = [
    Item(
        "uoro/influence",
        "Influence balancing (fig. 3.2a)",
        "23 units, 13 of them pushed down: UORO converges to θ = −1/6; truncated backpropagation does not, unless it looks "
        "back at 110 steps or more.",
        influence,
        {"smoke": 1, "laptop": 1, "paper": 1},
        "charts/theta",
        Unit("θ"),
        {"optimum": -1 / 6},
        drawn="losses/loss",
    ),
    Item(
        "uoro/brackets",
        "Distant brackets (1, 5, 10) (fig. 3.2b)",
        "Prediction of the next symbol, one pass: UORO gets below what is to be had without the distance, towards the "
        "optimum; TBPTT(4) stays near it, with the LSTM. The mean over the last 10⁵ symbols.",
        brackets,
        {"smoke": 1, "laptop": 40, "paper": 140},
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
    Item(
        "uoro/step-sizes",
        "aⁿbⁿ with other steps",
        "UORO with a GRU ends farther from the optimum than in the thesis. Adam steps by γ / (1 + 0.03 √t), γ = 10⁻³; "
        "here γ is another.",
        step_sizes,
        {"smoke": 1, "laptop": 13, "paper": 120},
        "losses/loss",
        BITS,
        {"optimum": 5 / 35, "counts not matched": 10 / 35},
        last_steps(100_000),
    ),
    *VARIANCE,
]
