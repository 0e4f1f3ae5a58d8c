"""Unbiasing truncated backpropagation through time: Tallec and Ollivier, 2017; thesis chapter 4."""

import jax.numpy as jnp
import optax

from farback.estimators import ARTBP
from farback.papers.engine.data import LETTERS, given, source_text
from farback.papers.engine.item import Case, Item, Metric
from farback.papers.engine.runs import configured, constructed, evaluation, log, metrics
from farback.papers.uoro.streams import SYSTEM, THETA, influence_case, system
from farback.runs.config import configure
from farback.segmentwise_artbp import SegmentwiseARTBP
from farback.tasks import Text

TITLE = "Anticipated reweighted truncated backpropagation"
MEAN = 16


def influence(steps: int, seeds: int) -> list[Case]:
    """Plain gradient descent on the sum of a segment's losses, with η_t = 3·10⁻⁴ / √(1 + t), t in steps."""

    def eta(t):
        return 3e-4 / jnp.sqrt(1 + t)

    algorithm = SegmentwiseARTBP(SYSTEM, system, ARTBP(MEAN, 6.0), optax.sgd(lambda count: eta(MEAN * count)), 1, 1024)
    record = {"estimator": "ARTBP(16, 6.0), by segments", "steps": steps, "eta": 3e-4, "theta": 0.5}
    ours = Case("ARTBP(16, 6.0)", log(constructed(algorithm, steps // MEAN, seeds, 500, record)))
    return [ours, *(influence_case(f"TBPTT({length})", steps, 1, eta) for length in (10, 100, 200))]


def characters(letters: int, longest: int, units: int, passes: int, seeds: int, rates: tuple[float, float]) -> list[Case]:
    """64 parallel sequences, a forget bias of 2; scored after each pass over the text.

    The thesis has a learning rate of 10⁻⁴, too small for ARTBP in the few passes of `laptop`; at a constant 10⁻³, noise
    keeps ARTBP above 2.9 bits. The learning rate goes linearly from the first of `rates` to the second. `letters` is the
    size of the text that replaces PTB.
    """
    text, (first, last) = Text(str(given("ptb") or source_text(letters))), rates
    updates = passes * (len(text.passage.symbols) // (64 * 50))
    words = {"task": f"Text({text.path!r})", "cell": f"LSTM({units}, gates=Forget(2.0))", "batch_size": 64}
    words |= {"optimizer": f"adam(linear_schedule({first:g}, {last:g}, {updates}))"}
    tested = configure("supervised", **words, estimator="TBPTT(50)", window=50).build().split()
    evaluate = metrics(len(text.held["test"].symbols) // (64 * 50) * (64 * 50), tested)

    def case(algorithm: str, estimator: str, **own: int) -> Case:
        training = configured(algorithm, updates, 250, **words, estimator=estimator, seeds=seeds, **own)
        return Case(estimator, evaluation(training, evaluate, passes))

    return [case("segmentwise-artbp", "ARTBP(50, 4.0)", longest=longest), case("supervised", "TBPTT(50)", window=50)]


# fmt: off
ITEMS = [
    Item("artbp/influence", "Influence balancing (fig. 4.3)",
        "θ pushes 13 of 23 units down and the others up. ARTBP with a mean length of 16 converges to θ = −1/6 with every "
        "seed. Truncation to 10 or 100 steps diverges, to 200 converges.",
        influence, {"steps": (4_000, 1_000_000, 1_000_000), "seeds": (2, 5, 5)}, minutes=(1, 3, 3), metric=THETA,
        levels={"optimum": -1 / 6}, drawn="losses/loss"),
    Item("artbp/characters", "Characters of a text (fig. 4.4)",
        "Bits per character on the test text, after each pass over the training text: PTB (thesis: ARTBP 1.40, TBPTT(50) "
        "1.43) if `data/ptb` has it, otherwise the source code of Python's standard library. An LSTM reads 64 sequences "
        "in parallel. TBPTT truncates every 50 characters, and ARTBP after 50 on average.",
        characters, {"letters": (100_000, LETTERS, LETTERS), "longest": (64, 1024, 1024), "units": (16, 256, 1000),
         "passes": (2, 3, 20), "seeds": (2, 3, 6), "rates": ((1e-3, 0.0), (1e-3, 0.0), (1e-4, 1e-4))},
        minutes=(1, 40, 1500), metric=Metric("charts/bits", "bits")),
]
