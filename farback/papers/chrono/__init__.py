"""Can recurrent neural networks warp time? Tallec and Ollivier, ICLR 2018; thesis chapter 5."""

from collections.abc import Sequence
from functools import partial

from farback.papers.engine.data import permuted_pixels
from farback.papers.engine.item import ACCURACY, NATS, SQUARED_ERROR, Case, Item
from farback.papers.engine.runs import Words, configured, evaluation, log, metrics
from farback.runs.config import configure
from farback.tasks import Adding

TITLE = "Time warping and chrono initialisation"
RMSPROP = "rmsprop(1e-3, 0.9, eps_in_sqrt=False)"
"""On a plateau gradients are far below √ε = 10⁻⁴, so ε is added to the root, as in Torch, and not under it."""
HALVED = "chain(rmsprop(1e-2, 0.9, eps_in_sqrt=False), halve_on_plateau(100))"
"""For warps. The thesis states no initial learning rate; with 10⁻³, leaky units end at 0.34 nats on uniform warps of 50."""
CELLS = ("Elman", "Leaky", "Gated")


def words(task: str, cell: str, batch: int, window: int, seeds: int, optimizer: str = RMSPROP) -> Words:
    """The arguments of `configure` for windows of whole episodes, with credit through all of them."""
    found = Words(task=task, cell=cell, batch_size=batch, window=window, seeds=seeds)
    return found | {"estimator": "BPTT()", "optimizer": optimizer}


def initialisations(units: int, longest: int) -> dict[str, str]:
    """An LSTM whose gates remember for times up to `longest`, and one with a forget bias of 1."""
    return {"chrono": f"LSTM({units}, gates=Chrono({longest}))", "standard": f"LSTM({units}, gates=Forget(1.0))"}


def initialised(task: str, extra: int, longest: float, efforts: Sequence[tuple[int, int, int, int]]) -> list[Case]:
    """Both initialisations on a task, with {} for its size. An episode has `extra` steps more than the size; `longest` is
    the longest time to remember, as a multiple of the size. An effort is (size, episodes per update, updates, seeds).
    """

    def case(kind: str, cell: str, size: int, batch: int, updates: int, seeds: int) -> Case:
        given = words(task.format(size), cell, batch, size + extra, seeds)
        return Case(f"{kind}, {task.format(size)}", log(configured("supervised", updates, 250, **given)))

    tried = ((effort, initialisations(128, int(longest * effort[0]))) for effort in efforts)
    return [case(*each, *effort) for effort, cells in tried for each in cells.items()]


def warped(pad: bool, sizes: Sequence[int], updates: int, seeds: int) -> list[Case]:
    """Three cells of 64 units on uniform warps (every symbol m times) and on variable ones (1 to m times)."""

    def case(cell: str, kind: str, low: int, size: int) -> Case:
        given = words(f"Warp({low}, {size}, pad={pad})", f"{cell}(64)", 32, 500, seeds, HALVED)
        return Case(f"{cell}, {kind} {size}", log(configured("supervised", updates, 250, **given)))

    kinds = [(kind, low, size) for size in sizes for kind, low in (("uniform", size), ("variable", 1))]
    return [case(cell, *kind) for kind in kinds for cell in CELLS]


def generalise(size: int, updates: int, seeds: int, lowest: int, longest: Sequence[int]) -> list[Case]:
    """Trained as in `warped` on variable warps, and tested on ten windows of sequences of 5,000 steps with longer warps."""
    tests = {size: 1} | dict.fromkeys(longest, lowest)

    def case(name: str, cell: str) -> Case:
        given = words(f"Warp(1, {size})", cell, 32, 500, seeds, HALVED)
        tasks = {most: given | {"task": f"Warp({low}, {most}, length=5000)"} for most, low in tests.items()}
        tested = {most: configure("supervised", **task).build() for most, task in tasks.items()}
        tries = [metrics(10 * 32 * 500, one, **{"longest warp": most}) for most, one in tested.items()]
        training = configured("supervised", updates, 250, **given)
        return Case(name, evaluation(training, lambda run: [row for one in tries for row in one(run)]))

    return [*(case(cell, f"{cell}(64)") for cell in CELLS), case("Gated, chrono", f"Gated(64, gates=Chrono({size}))")]


def pixels(units: tuple[int, int], updates: tuple[int, int], seeds: tuple[int, int], times: int) -> list[Case]:
    """Each setting has a value for digits and a value for MNIST."""
    task, images = permuted_pixels()
    mnist = int(images.path is not None)
    evaluate = metrics(len(images.held["test"].labels) * images.pixels)

    def case(name: str, cell: str) -> Case:
        given = words(task, cell, 64, images.pixels, seeds[mnist])
        return Case(name, evaluation(configured("supervised", updates[mnist], 250, **given), evaluate, times))

    return [case(*each) for each in initialisations(units[mnist], images.pixels).items()]


GUESS = {"optimum": 1.0, "guess": 1 / 8}
SMALL = [(20, 4, 20, 2)]
"""Efforts: size, episodes per update, updates, seeds."""
WARPS = {"sizes": ((3,), (50,), (10, 20, 50, 100)), "updates": (10, 4_688, 4_688), "seeds": (2, 2, 5)}
HUNDREDS = (100, 200, 300, 400, 500)

# fmt: off
ITEMS = [
    Item("chrono/copy", "Copy after 500 steps (fig. 5.3)",
        "With chrono initialisation, accuracy rises above the level of guessing, one in eight; with the standard "
        "initialisation, it stays there. The thesis plots losses; here the losses of single updates jump, because "
        "gradients are not clipped.",
        partial(initialised, "Copy({})", 20, 1.5),
        {"efforts": (SMALL, [(500, 4, 40_000, 2)], [(500, 32, 10_000, 5), (2_000, 20, 10_000, 5)])}, minutes=(1, 25, 500),
        metric=ACCURACY, levels=GUESS),
    Item("chrono/variable-copy", "Variable copy (fig. 5.3)",
        "In the thesis, the two initialisations do equally well at T = 500, and chrono wins at T = 1000.",
        partial(initialised, "VariableCopy({})", 20, 1),
        {"efforts": (SMALL, [(500, 4, 40_000, 2), (1_000, 4, 15_000, 2)], [(500, 32, 10_000, 5), (1_000, 32, 10_000, 5)])},
        minutes=(1, 25, 1000), metric=ACCURACY, levels=GUESS),
    Item("chrono/adding", "Adding (fig. 5.4)",
        "Chrono initialisation leaves the plateau of 0.167 several times sooner. The longer the sequence, the larger the "
        "difference.",
        partial(initialised, "Adding({})", 0, 1),
        {"efforts": (SMALL, [(200, 32, 4_000, 2)], [(200, 50, 10_000, 5), (750, 50, 10_000, 5)])}, minutes=(1, 13, 600),
        metric=SQUARED_ERROR, levels={"optimum": 0.0, "the answer 1": Adding(200).blind * 200}),
    Item("chrono/warp", "Warped time (fig. 5.1, top)",
        "Leaky and gated units solve uniform warps, and only gated units solve variable warps; the simple network solves "
        "neither.",
        partial(warped, False), WARPS, minutes=(2, 12, 1500), metric=NATS, levels={"optimum": 0.0}, smoke=(2, 5)),
    Item("chrono/pad", "Padded time (fig. 5.1, bottom)",
        "The same, with blanks between the symbols instead of repetitions.", partial(warped, True), WARPS,
        minutes=(2, 10, 1500), metric=NATS, levels={"optimum": 0.0}, smoke=(2, 5)),
    Item("chrono/generalise", "Longer warps than any in training (fig. 5.5)",
        "Trained on variable warps of 1 to 50, tested on these and on warps of 100 up to the longest. In the thesis, "
        "accuracy falls from 100 % to about 75 %; the simple network stays below 80 %, but its curve is flatter. The "
        "thesis calls the gated networks of this figure chrono networks and does not state the initialisation of their "
        "gates: both are shown.",
        generalise, {"size": (3, 50, 50), "updates": (10, 4_688, 4_688), "seeds": (2, 2, 5), "lowest": (4, 100, 100),
         "longest": ((6, 8), HUNDREDS, HUNDREDS)}, minutes=(1, 10, 90), metric=ACCURACY, smoke=(2, 3),
        along="longest warp"),
    Item("chrono/pixels", "Permuted pixels, one at a time (fig. 5.6)",
        "Accuracy on test images: MNIST, 784 steps, if `data/mnist` has it (best validation accuracy in the thesis, with "
        "512 units: chrono 0.963, standard 0.954); otherwise scikit-learn's digits, 64 steps.",
        pixels, {"units": ((8, 8), (128, 128), (128, 512)), "updates": ((10, 10), (4_000, 800), (4_000, 20_000)),
         "seeds": ((2, 2), (5, 2), (5, 5)), "times": (2, 20, 20)}, minutes=(1, 12, 15), metric=ACCURACY),
]
