"""Unbiasing truncated backpropagation through time: Tallec and Ollivier, 2017; thesis chapter 4."""

from typing import NamedTuple

import jax.numpy as jnp
import optax

from engram.estimators import ARTBP, TBPTT
from engram.learner import Learner
from engram.papers.data import LETTERS, given, source_text
from engram.papers.item import Case, Item, Scale, Unit, examined, scores, seeded, trained
from engram.papers.uoro import influence_case
from engram.runs.config import Config
from engram.runs.segments import SegmentTrial
from engram.runs.trial import StreamTrial
from engram.tasks import InfluenceBalancing, Text

TITLE = "Anticipated reweighted truncated backpropagation"
MEAN = 16


def influence(scale: Scale) -> list[Case]:
    """Plain gradient descent on the sum of a segment's losses, with η_t = 3·10⁻⁴ / √(1 + t), t in steps."""
    steps, seeds = {"smoke": (4_000, 2), "laptop": (1_000_000, 5), "paper": (1_000_000, 5)}[scale]
    task = InfluenceBalancing(23, 13)

    def eta(t):
        return 3e-4 / jnp.sqrt(1 + t)

    optimiser = optax.sgd(lambda count: eta(MEAN * count))
    stream = StreamTrial(Learner(task, ARTBP(MEAN, 6.0), optimiser), lambda key: task.system(), 1, 1024)
    updates = steps // MEAN
    program = seeded(SegmentTrial(stream), seeds, updates // 500)
    record = {"estimator": "ARTBP(16, 6.0), by segments", "steps": steps, "eta": 3e-4, "theta": 0.5}
    truncated = [influence_case(TBPTT(length), f"TBPTT({length})", length, steps, 1, eta) for length in (10, 100, 200)]
    return [trained("ARTBP(16, 6.0)", program, updates, record), *truncated]


class Reading(NamedTuple):
    """How a text is read: letters, where it is not PTB; longest segment; units of an LSTM; passes; seeds; Adam's first and
    last step, between which it falls evenly.
    """

    letters: int
    longest: int
    units: int
    passes: int
    seeds: int
    rate: float
    last: float


READINGS: dict[Scale, Reading] = {
    "smoke": Reading(100_000, 64, 16, 2, 2, 1e-3, 0.0),
    "laptop": Reading(LETTERS, 1024, 256, 3, 3, 1e-3, 0.0),
    "paper": Reading(LETTERS, 1024, 1000, 20, 6, 1e-4, 1e-4),
}


def characters(scale: Scale) -> list[Case]:
    """64 sequences side by side, a forget bias of 2; scored after each pass over the text.

    The thesis has a step of 10⁻⁴, with which ARTBP is far from done after the few passes of a laptop; with 10⁻³ throughout,
    noise keeps it from coming further than 2.9 bits.
    """
    letters, longest, units, passes, seeds, rate, last = READINGS[scale]
    text = Text(str(given("ptb") or source_text(letters)))
    updates = passes * (len(text.passage.symbols) // (64 * 50))

    def config(estimator: str, length: int) -> Config:
        return Config(
            task=f"Text({text.path!r})",
            cell=f"LSTM({units}, gates=Forget(2.0))",
            estimator=estimator,
            optimiser=f"adam(linear_schedule({rate:g}, {last:g}, {updates}))",
            batch=64,
            length=length,
            steps=1,
            seed=0,
            seeds=seeds,
        )

    truncated, anticipated = config("TBPTT(50)", 50), config("ARTBP(50, 4.0)", longest)
    stream = truncated.streaming()
    test = stream.held_out()
    examine = scores(test, len(text.held["test"].symbols) // test.steps)
    return [
        examined(config.estimator, seeded(trial, seeds, updates // 250), updates, config.record, examine, passes)
        for config, trial in ((anticipated, SegmentTrial(anticipated.streaming())), (truncated, stream))
    ]


ITEMS = [
    Item(
        "artbp/influence",
        "Influence balancing (fig. 4.3)",
        "23 units, 13 of them pushed down: ARTBP with a mean length of 16 converges to θ = −1/6 with every seed; "
        "truncation to 10 and to 100 steps diverges, and to 200 converges.",
        influence,
        {"smoke": 1, "laptop": 3, "paper": 3},
        "charts/theta",
        Unit("θ"),
        {"optimum": -1 / 6},
        drawn="losses/loss",
    ),
    Item(
        "artbp/characters",
        "Characters of a text (fig. 4.4)",
        "What is held out, in bits a character, after each pass over the training text: PTB (thesis: ARTBP 1.40, TBPTT(50) "
        "1.43), where data/ptb has it, and otherwise sources of Python's standard library. An LSTM that reads 64 places at "
        "once; both are cut every 50 characters, ARTBP in the mean.",
        characters,
        {"smoke": 1, "laptop": 40, "paper": 1500},
        "charts/bits",
        Unit("bits"),
        {},
    ),
]
