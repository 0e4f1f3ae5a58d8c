"""Unbiased online recurrent optimisation: Tallec and Ollivier, ICLR 2018; thesis chapter 3."""

import math
from functools import partial

from farback.papers.engine.finals import last_steps
from farback.papers.engine.item import NATS, Item
from farback.papers.uoro.streams import ANBN, BITS, BRACKETS, THETA, anbn, grid, influence
from farback.papers.uoro.variance import RELATIVE, by_width, of_copy, over_time
from farback.tasks import Copy

TITLE = "Unbiased online recurrent optimisation"
STREAM = {"steps": (1_000, 10_000_000, 10_000_000), "seeds": (2, 3, 10)}
COUNTING = {"optimum": 5 / 35, "counts not matched": 10 / 35}
WIDTHS = (4, 8, 16, 32, 64, 128, 256, 512)

# fmt: off
ITEMS = [
    Item("uoro/influence", "Influence balancing (fig. 3.2a)",
        "θ pushes 13 of 23 units down and the others up. UORO converges to θ = −1/6. Truncated backpropagation does not, "
        "unless its windows have 110 steps or more.",
        influence, {"steps": (4_000, 1_000_000, 1_000_000), "seeds": (2, 6, 6)}, minutes=(1, 1, 1), metric=THETA,
        levels={"optimum": -1 / 6}, drawn="losses/loss"),
    Item("uoro/brackets", "Distant brackets (1, 5, 10) (fig. 3.2b)",
        "Prediction of the next symbol, one pass. UORO falls below the distance-blind level, the best loss without the "
        "distance, towards the optimum; TBPTT(4) with the LSTM stays near that level. The mean over the last 10⁵ symbols.",
        partial(grid, BRACKETS, ("LSTM", "GRU"), ("UORO()", "TBPTT(4)")), STREAM, minutes=(1, 40, 140), metric=BITS,
        levels={"optimum": 6 * math.log2(10) / 12, "distance-blind": 7 * math.log2(10) / 12}, final=last_steps(100_000)),
    Item("uoro/anbn", "AnBn, n in 1 to 32 (table 3.1)",
        "Prediction of the next symbol, one pass over 10⁷ symbols, one at a time; the mean over the last 10⁵.",
        anbn, {**STREAM, "few": (2, 1, 3)}, minutes=(1, 110, 300), metric=BITS, levels=COUNTING, smoke=(1, 5, -1),
        final=last_steps(100_000)),
    Item("uoro/step-sizes", "AnBn with other learning rates",
        "UORO with a GRU ends farther from the optimum than in the thesis. Adam's learning rate is γ / (1 + 0.03 √t), "
        "with γ = 10⁻³ in the thesis and other values of γ here.",
        partial(grid, ANBN, ("GRU",), ("UORO()",)),
        {**STREAM, "seeds": (2, 2, 10), "gammas": ((3e-3,), (3e-4, 3e-3), (3e-4, 3e-3, 1e-2))}, minutes=(1, 13, 120),
        metric=BITS, levels=COUNTING, final=last_steps(100_000)),
    Item("uoro/variance", "Relative variance over time (fig. 3.1a)",
        "A GRU of 64 units is trained on characters, and then run 100 times over the first 10,000 characters without "
        "learning. The thesis trains on 10⁷ characters of Shakespeare, and finds that the relative variance of UORO's "
        "gradient does not grow with time. Here the text is the source code of Python's standard library, with 5,040,000 "
        "characters for training. Each row covers the characters since the row above. If runs that begin halfway are as "
        "noisy as runs from the start, the variance changes with the text and not with time.",
        over_time, {"characters": (1_000, 1_000_000, 10_000_000), "seeds": (2, 3, 3), "runs": (8, 100, 100),
                   "steps": (40, 10_000, 10_000)}, minutes=(1, 10, 100), metric=RELATIVE, along="characters"),
    Item("uoro/variance-width", "Relative variance and the number of units (fig. 3.1b)",
        "Untrained GRUs read 10 characters of the same text. The relative variance of UORO's gradient, over 100 runs, "
        "grows with the number of units. Rank 4 is not in the thesis.",
        by_width, {"widths": ((4, 8), WIDTHS, WIDTHS), "seeds": (2, 5, 20), "runs": (8, 100, 100)},
        minutes=(1, 5, 15), metric=RELATIVE, smoke=(0,), along="units"),
    Item("uoro/variance-copy", "Copy with a lag of 5, and the number of units (fig. 3.1c)",
        "All networks are trained by Adam with the learning rate η_t = η / (1 + 3·10⁻³ t). The thesis states no sizes and "
        "no optimizer. In the thesis, with η = 10⁻⁴, the error falls slowly and steadily, but that of the largest network "
        "jumps because its gradient is too noisy. With η = 3·10⁻³, larger networks learn more slowly here, for the same "
        "reason.",
        of_copy,
        {"etas": ((3e-3,), (1e-4, 3e-3), (1e-4, 3e-3)), "steps": (2_000, 30_000, 100_000), "seeds": (2, 3, 3),
         "widths": ((4, 8), (8, 64, 256, 512), (8, 64, 256, 512, 1024))}, minutes=(1, 6, 200), metric=NATS,
        levels={"optimum": 0.0, "memoryless": Copy(5).memoryless, "guess of the data": Copy(5).blind}),
]
