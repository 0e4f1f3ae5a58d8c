"""MemUP on supervised tasks, against backpropagation through whole episodes and through as many steps as MemUP stores."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from farback.papers.engine.data import given, permuted_pixels
from farback.papers.engine.item import Case
from farback.papers.engine.runs import Words, clipped_adam, configured, evaluation, log, metrics
from farback.runs.config import configure

LASTING_LRU = "LRU({}, r_min=0.9, r_max=0.9999, max_phase=0.314)"
"""Linear units with a long memory from the beginning, and nearly no rotation."""
FAR, THOUSAND = 500, 1000
"""From `FAR` steps on, cells start with a longer memory. From `THOUSAND` steps on, windows are twice as long and `laptop`
leaves out the transformer.
"""
TOGETHER, SHARE = 64, 8
"""MemUP's smallest batch of long episodes, whose many updates would overfit a smaller one. The slow transformer is trained
on one in `SHARE` episodes.
"""


class Problem(NamedTuple):
    """A task, the steps of its episodes, MemUP's window and K, its cells with {} for their units (the first is also trained
    without MemUP), its context, and the number of test episodes; by default, training episodes are scored, all new.
    """

    task: str
    length: int
    window: int
    targets: int
    cells: Sequence[str]
    context: str = "LSTM({})"
    tests: int = 0


def supervised(
    problem: Problem, thrifty: bool, units: int, layers: int, seeds: int, batch: int, passes: int, rate: float
) -> list[Case]:
    """MemUP with each cell, and backpropagation with an LSTM, an SRNN and a transformer of several layers."""
    task, length, window, targets, cells, context, _ = problem
    thrifty = thrifty and length >= THOUSAND
    together = max(batch, TOGETHER) if length >= FAR else batch
    usual, fewer = {"estimator": "BPTT()", "seeds": seeds}, passes * batch // together
    memup = {"data": f"TaskEpisodes({task})", "selector": f"TopK({targets})", "context": context.format(units)}
    memup |= {"optimizer": clipped_adam(rate, falls=fewer * -(-length // window))}
    sizes = {"prediction_interval": window, "window": window, "batch_size": together}
    cases = []
    for cell in cells[: 1 if thrifty else None]:
        words = usual | memup | sizes | {"cell": cell.format(units)}
        name = f"{length}: MemUP, {cell.partition('(')[0]}, window {window}"
        cases.append(_case(name, problem, "memup", 1, fewer, words))
    rivals = {"LSTM": (cells[0], passes), "SRNN": ("SRNN({})", passes)}
    rivals |= {} if thrifty else {"transformer": (f"GTrXL({{}}, memory={{memory}}, layers={layers})", -(-passes // SHARE))}
    stored = window + targets
    for name, (cell, count) in rivals.items():
        for kind, through in (("full", length), (f"window {stored}", stored)):
            updates = -(-length // through)
            words = usual | {"task": task, "cell": cell.format(units, memory=through), "window": through}
            words |= {"optimizer": clipped_adam(rate, falls=count * updates), "batch_size": batch}
            cases.append(_case(f"{length}: {name}, {kind}", problem, "supervised", updates, count, words))
    return cases


def _case(name: str, problem: Problem, algorithm: str, updates: int, passes: int, words: Words) -> Case:
    """Passes through the episodes of a problem, each with several updates."""
    training, tests = configured(algorithm, passes * updates, 100, **words), problem.tests

    def evaluate(run):
        tested = configure(algorithm, **words | {"batch_size": tests}).build().split()
        amount = tests if tested.evaluation_unit == "episodes" else updates * tested.steps_per_update
        return metrics(amount, tested)(run)

    return Case(name, evaluation(training, evaluate, times=10) if tests else log(training))


def lasting(length: int) -> tuple[str, str, str]:
    """An LSTM that initially forgets 2 % at each step, linear units and a GRU; for long episodes, with a longer memory."""
    if length < FAR:
        return "LSTM({}, gates=Forget(4.0))", "LRU({})", "GRU({})"
    return f"LSTM({{}}, gates=Chrono({length}))", LASTING_LRU, "GRU({}, gates=Forget(5.0))"


def signalled_copy(length: int, window: int) -> Problem:
    """Cells with a long memory."""
    return Problem(f"SignalledCopy({length - 20})", length, window, 10, lasting(length))


def scattered_copy(length: int, window: int) -> Problem:
    """An LSTM. The datum that a signal asks for depends on the number of signals before: the context has larger input
    weights and a memory as long as the episode.
    """
    context = f"LSTM({{}}, gates=Chrono({length}), input_init=Normal(1.0))"
    return Problem(f"ScatteredCopy({length - 20})", length, window, 10, lasting(length)[:1], context)


def adding(length: int, window: int) -> Problem:
    """An LSTM with its usual initialisation; over a thousand steps, one with a long memory."""
    return Problem(f"Adding({length})", length, window, 1, ("LSTM({})" if length < THOUSAND else lasting(length)[0],))


def by_length(make: Callable[[int, int], Problem], lengths: Sequence[int], **effort: Any) -> list[Case]:
    """A task with episodes of several lengths."""
    problems = [make(length, 10 if length < THOUSAND else 20) for length in lengths]
    return [case for problem in problems for case in supervised(problem, **effort)]


def pixels(enlarged: tuple[Sequence[int], Sequence[int]], **effort: Any) -> list[Case]:
    """Images, enlarged by each factor: the first factors are for MNIST, the others for digits."""
    tasks = map(permuted_pixels, enlarged[given("mnist") is None])
    known = ((task, images.pixels, min(1000, len(images.held["test"].labels))) for task, images in tasks)
    problems = [Problem(task, n, 30 if n < THOUSAND else 60, 1, ("LSTM({})",), tests=tests) for task, n, tests in known]
    return [case for problem in problems for case in supervised(problem, **effort)]
