"""The presets of UORO on streams: influence balancing, aⁿbⁿ and brackets."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax

from farback.estimators import AbstractEstimator
from farback.learner import Supervised
from farback.network import Network
from farback.papers.engine.item import Case, Metric
from farback.papers.engine.runs import Words, configured, constructed, log
from farback.runs.kinds import build
from farback.tasks import InfluenceBalancing

BITS, THETA = Metric("losses/loss", "bits", 1 / math.log(2)), Metric("charts/theta", "θ")
SYSTEM = InfluenceBalancing(23, 13)


def window_of(estimator: str) -> int:
    """The window of an estimator: the steps of `TBPTT` or of `memory`, otherwise 1."""
    return int(found[2]) if (found := re.search(r"(TBPTT|memory).(\d+)", estimator)) else 1


def system(task: InfluenceBalancing, *, key: Any) -> Network:
    """The linear system of influence balancing, whose one parameter is θ."""
    del key
    return Network(eqx.nn.Identity(), task.system(), eqx.nn.Identity())


def influence_case(estimator: str, steps: int, seeds: int, eta: Callable[[Any], Any]) -> Case:
    """Plain gradient descent on the sum of a window's losses, with the learning rate η_t, t in time steps."""
    window = window_of(estimator)
    optimizer = optax.sgd(lambda count: window * eta(count * window))
    algorithm = Supervised(SYSTEM, system, build(estimator, AbstractEstimator), optimizer, 1, window)
    record = {"estimator": estimator, "steps": steps, "eta": 3e-4, "theta": 0.5}
    return Case(estimator, log(constructed(algorithm, steps // window, seeds, 500, record)))


def influence(steps: int, seeds: int) -> list[Case]:
    """UORO with several seeds; the other estimators are deterministic."""
    tried = {"UORO()": seeds, "RTRL()": 1} | {f"TBPTT({length})": 1 for length in (1, 10, 100, 200)}
    return [influence_case(way, steps, count, lambda t: 3e-4 / (1 + jnp.sqrt(t))) for way, count in tried.items()]


def cell_of(kind: str, size: int) -> str:
    """A cell initialised as in the authors' code, which embeds the symbols: input weights of variance 1 (GRU), or 1/3
    (LSTM, by one more layer), and a forget bias of −0.3 in the LSTM. This matters: with input weights as small as those of
    the state, U(−1/√n, 1/√n), UORO is still at the distance-blind level of the brackets after 3·10⁶ symbols.
    """
    initial = {"GRU": "input_init=Normal(1.0)", "LSTM": f"input_init=Normal({3**-0.5:.3f}), gates=Forget(-0.3)"}
    return f"{kind}({size}, {initial[kind]})"


def adam(rate: float, window: int, gamma: float = 1e-3) -> str:
    """Adam with the learning rate γ / (1 + α √t), t in symbols."""
    return f"adam(inverse_sqrt_schedule({gamma:g}, {rate}, {window}))"


ANBN, BRACKETS = ("AnBn(1, 32)", 0.03), ("Brackets(1, 5, 10)", 0.015)
"""Tasks, each with the α of its learning rate."""
# fmt: off
CLAIMS = {
    ("LSTM", "UORO()"): 0.147, ("LSTM", "UORO(memory=2)"): 0.149, ("LSTM", "UORO(memory=16)"): 0.154,
    ("LSTM", "TBPTT(1)"): 0.178, ("LSTM", "TBPTT(2)"): 0.149, ("LSTM", "TBPTT(16)"): 0.144,
    ("GRU", "UORO()"): 0.155, ("GRU", "UORO(memory=2)"): 0.174, ("GRU", "UORO(memory=16)"): 0.149,
    ("GRU", "TBPTT(1)"): 0.231, ("GRU", "TBPTT(2)"): 0.285, ("GRU", "TBPTT(16)"): 0.207,
}
# fmt: on
"""Table 3.1, in bits a character."""
SLOW = (("GRU", "KFRTRL()", 64), ("GRU", "SnAp(1)", 64), ("LSTM", "RTRL()", 16), ("GRU", "RTRL()", 16))
"""Cells, estimators and units that the thesis does not have."""


def symbols(
    task: tuple[str, float], kind: str, way: str, steps: int, seeds: int, claimed=None, size: int = 64, gamma: float = 1e-3
) -> Case:
    """One pass over a stream, one sequence at a time."""
    window = window_of(way)
    words = Words(task=task[0], cell=cell_of(kind, size), estimator=way, batch_size=1, window=window)
    words |= {"optimizer": adam(task[1], window, gamma), "log_every": max(1, min(10_000, steps // 100) // window)}
    other = (f" of {size}" if size != 64 else "") + (f", γ = {gamma:g}" if gamma != 1e-3 else "")
    return Case(f"{way}, {kind}{other}", log(configured("supervised", -(-steps // window), seeds=seeds, **words)), claimed)


def anbn(steps: int, seeds: int, few: int) -> list[Case]:
    """The twelve entries of the table, and estimators that it does not have, the slow ones with few seeds."""
    ways = CLAIMS | {("GRU", "UORO(rank=4)"): None}
    cases = [symbols(ANBN, *way, steps, seeds, claim) for way, claim in ways.items()]
    return [*cases, *(symbols(ANBN, kind, way, steps, few, size=size) for kind, way, size in SLOW)]


def grid(
    task: tuple[str, float],
    kinds: Sequence[str],
    ways: Sequence[str],
    steps: int,
    seeds: int,
    gammas: Sequence[float] = (1e-3,),
) -> list[Case]:
    """All combinations of cells, estimators and γ."""
    return [symbols(task, kind, way, steps, seeds, gamma=gamma) for kind in kinds for way in ways for gamma in gammas]
