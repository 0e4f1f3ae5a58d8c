"""Unbiasing truncated backpropagation through time: Tallec and Ollivier, 2017; thesis chapter 4."""

import jax.numpy as jnp
import optax

from engram.estimators import ARTBP, TBPTT
from engram.learner import Learner
from engram.papers.item import Case, Item, Scale, Unit, trained
from engram.papers.uoro import influence_case
from engram.runs.program import Program
from engram.runs.segments import SegmentTrial
from engram.runs.trial import StreamTrial
from engram.tasks import InfluenceBalancing

TITLE = "Anticipated reweighted truncated backpropagation"
MEAN = 16


def influence(scale: Scale) -> list[Case]:
    """Plain gradient descent on the sum of a segment's losses, with η_t = 3·10⁻⁴ / √(1 + t), t in steps."""
    steps, seeds = {"smoke": (4_000, 2), "laptop": (200_000, 5), "paper": (1_000_000, 5)}[scale]
    task = InfluenceBalancing(23, 13)

    def eta(t):
        return 3e-4 / jnp.sqrt(1 + t)

    optimiser = optax.sgd(lambda count: eta(MEAN * count))
    stream = StreamTrial(Learner(task, ARTBP(MEAN, 6.0), optimiser), lambda key: task.system(), 1, 1024)
    updates = steps // MEAN

    def program(devices: int) -> Program:
        del devices  # each seed draws lengths of its own, so that all would wait for the longest
        return Program(SegmentTrial(stream), range(seeds), max(1, updates // 500))

    record = {"estimator": "ARTBP(16, 6.0), by segments", "steps": steps, "eta": 3e-4, "theta": 0.5}
    truncated = [influence_case(TBPTT(length), f"TBPTT({length})", length, steps, 1, eta) for length in (10, 100, 200)]
    return [trained("ARTBP(16, 6.0)", program, updates, record), *truncated]


ITEMS = [
    Item(
        "artbp/influence",
        "Influence balancing (fig. 4.3)",
        "23 units, 13 of them pushed down: ARTBP with a mean length of 16 converges to θ = −1/6 with every seed; "
        "truncation to 10 and to 100 steps diverges, and to 200 converges. Shown is θ.",
        influence,
        {"smoke": 1, "laptop": 10, "paper": 40},
        "charts/theta",
        Unit("θ"),
        {"optimum": -1 / 6},
    ),
]
