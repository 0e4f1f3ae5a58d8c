"""The variance of unbiased online recurrent optimisation: Tallec and Ollivier, ICLR 2018; thesis sections 3.5 and 3.6.

The relative variance of an estimate g of a gradient is E‖g − E g‖² / ‖E g‖² (3.22). Here E g is the exact gradient, which
UORO estimates without bias. The mean of n draws in its place would give, for a relative variance R, about R / (1 + R / n),
which never exceeds n.
"""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from engram.cells import GRU, Chain
from engram.estimators import BPTT, RTRL, UORO, AbstractEstimator
from engram.learner import Learner
from engram.papers.data import source_text
from engram.papers.item import Case, Item, Measured, Place, Scale, Unit, examined, kept, seeded, trained
from engram.runs.config import Config
from engram.runs.log import Row
from engram.runs.saved import Saved
from engram.runs.spec import build
from engram.runs.trial import StreamTrial
from engram.step import AbstractStep, Model, Supervised
from engram.tasks import Copy, Text
from engram.tasks.base import AbstractTask, Question, classification
from engram.types import Carry, Window

METRIC = "charts/relative_variance"
RELATIVE = Unit("relative variance")
TOGETHER = 10
"""Draws that are made at once: each has a trace as large as the parameters."""


def network(task: AbstractTask, width: int, key: PRNGKeyArray) -> Model:
    """A GRU of so many units, and a readout."""
    cell_key, readout_key = jax.random.split(key)
    readout = eqx.nn.Linear(width, task.output_size, key=readout_key)
    return Chain(GRU(task.input_size, width, key=cell_key), readout)


def squared_distance(one: Model, other: Model) -> Float[Array, ""]:
    """‖one − other‖²."""
    return optax.tree.norm(optax.tree.sub(one, other), squared=True)


@eqx.filter_jit
def along_stream(
    task: AbstractTask,
    estimator: AbstractEstimator,
    model: Model,
    key: PRNGKeyArray,
    runs: int,
    steps: int,
    begun: int = 0,
) -> tuple[Float[Array, " steps"], Float[Array, " steps"]]:
    """‖g − E g‖², a mean over runs, and ‖E g‖², of the loss of each of a stream's steps, at fixed parameters.

    The runs see the same stream, after its first `begun` steps, and differ in the signs that are drawn. E g is that of
    RTRL.
    """
    step, exact = Supervised(task.loss), RTRL()
    batch = (Carry(None, 0), 0)  # the memory is the same in all runs

    def one(running, key):
        sources, carry, exact_carry = running
        sources, window = task.window(sources, 1)
        mean, exact_carry, _ = exact.gradient(step, model, exact_carry, window, key)

        def draw(carry, key):
            gradient, carry, _ = estimator.gradient(step, model, carry, window, key)
            return squared_distance(gradient, mean), carry

        noise, carry = jax.vmap(draw, batch, batch[::-1])(carry, jax.random.split(key, runs))
        return (sources, carry, exact_carry), (jnp.mean(noise), optax.tree.norm(mean, squared=True))

    sources = jax.lax.fori_loop(0, begun, lambda _, sources: task.window(sources, 1)[0], task.sources(1, key))
    window = task.window(sources, 1)[1]
    carry = estimator.init(step, model, window)
    trace = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (runs, *leaf.shape)), carry.trace)
    start = (sources, Carry(carry.state, trace), exact.init(step, model, window))
    return jax.lax.scan(one, start, jax.random.split(key, steps))[1]


def bins(steps: int) -> list[int]:
    """Where parts of a stream end: 10, 20, 50, 100, 200, 500, ..., and after all steps."""
    ends = [first * 10**power for power in range(1, 9) for first in (1, 2, 5)]
    return [end for end in ends if end < steps] + [steps]


def stationarity(saved: Saved, runs: int, steps: int, begun: int) -> list[Row]:
    """The relative variance of each seed's gradient in each part of a stream: the mean ‖g − E g‖² over the mean ‖E g‖².

    A mean of ratios would be that of the few steps whose exact gradient happens to be next to nothing.
    """
    trial, update = saved.program.trial, saved.facts["update"]
    assert isinstance(trial, StreamTrial)
    ends, rows = np.array([end for end in bins(steps) if end > begun]), []
    for seed, model in saved.models().items():
        found = along_stream(trial.learner.task, UORO(), model, jax.random.key(seed), runs, steps - begun, begun)
        noise, signal = (np.add.reduceat(np.asarray(part), [0, *(ends[:-1] - begun)]) for part in found)
        rows += [
            {"seed": seed, "step": update * trial.steps, "characters": int(end), METRIC: float(relative)}
            for end, relative in zip(ends, noise / signal, strict=True)
        ]
    return rows


def variance(scale: Scale) -> list[Case]:
    """A network trained on one pass, as the GRU of table 3.1, then run again over the text's beginning, or half of that."""
    characters, seeds, runs, steps = {
        "smoke": (2_000, 2, 8, 40),
        "laptop": (1_000_000, 3, 100, 10_000),
        "paper": (10_000_000, 3, 100, 10_000),
    }[scale]

    def examine(begun: int) -> Callable[[Saved], list[Row]]:
        return lambda saved: stationarity(saved, runs, steps, begun)

    config = Config(
        task=f"Text({str(source_text())!r})",
        cell="GRU(64, input_init=Normal(1.0))",
        estimator="UORO()",
        optimiser="adam(inverse_sqrt_schedule(1e-3, 0.03))",
        batch=1,
        length=1,
        steps=characters,
        seed=0,
        seeds=seeds,
        log_every=max(1, characters // 1000),
    )
    places = {"UORO()": 0, "begun halfway": steps // 2}
    return [examined(name, config.program, config.updates, config.record, examine(begun)) for name, begun in places.items()]


LAST = Supervised(lambda output, asked: classification(output, asked.label, asked.weight))
"""The step of a task of symbols whose last step alone is charged."""


def last_charged(window: Window) -> Window:
    """A window of symbols to be predicted, with the weights for `LAST`."""
    steps = window.first.shape[1]
    weight = jnp.broadcast_to((jnp.arange(steps) == steps - 1).astype(window.inputs.dtype), window.first.shape)
    return Window(window.first, window.inputs, Question(window.targets, weight))


@eqx.filter_jit
def relative_variance(
    estimator: AbstractEstimator, step: AbstractStep, model: Model, window: Window, key: PRNGKeyArray, runs: int
) -> Float[Array, ""]:
    """The relative variance of the gradient of a window that begins without a past, over so many draws.

    E g is that of BPTT over the window: RTRL's trace of a wide network does not fit memory.
    """
    mean = BPTT().gradient(step, model, BPTT().init(step, model, window), window, key)[0]
    carry = estimator.init(step, model, window)

    def draw(key):
        return squared_distance(estimator.gradient(step, model, carry, window, key)[0], mean)

    noise = jax.lax.map(draw, jax.random.split(key, runs), batch_size=TOGETHER)
    return jnp.mean(noise) / optax.tree.norm(mean, squared=True)


def width_case(estimator: str, widths: Sequence[int], seeds: int, runs: int, steps: int = 10) -> Case:
    """Untrained networks of several widths: the gradient of the last loss of `steps` steps.

    Each seed has a network of its own, and reads the text at a place of its own.
    """

    def of_width(width: int) -> list[Row]:
        task = Text(str(source_text()))
        window = last_charged(task.window(task.sources(seeds, jax.random.key(0)), steps)[1])
        rows = []
        for seed in range(seeds):
            model_key, key = jax.random.split(jax.random.key(seed))
            own = jax.tree.map(lambda leaf, seed=seed: leaf[seed : seed + 1], window)
            model = network(task, width, model_key)
            found = relative_variance(build(estimator, AbstractEstimator), LAST, model, own, key, runs)
            rows.append({"seed": seed, "step": steps, "units": width, METRIC: float(found)})
        return rows

    def measure(place: Place) -> Measured:
        found: list[Row] = []
        for width in place.each(widths):
            found += kept(place.home / f"{width}-units.json", lambda width=width: of_width(width))
        return Measured(found)

    return Case(estimator, measure)


def variance_width(scale: Scale) -> list[Case]:
    widths, seeds, runs = {
        "smoke": ((4, 8), 2, 8),
        "laptop": ((4, 8, 16, 32, 64, 128, 256, 512), 5, 100),
        "paper": ((4, 8, 16, 32, 64, 128, 256, 512), 20, 100),
    }[scale]
    estimators = ("UORO()",) if scale == "smoke" else ("UORO()", "UORO(rank=4)")
    return [width_case(estimator, widths, seeds, runs) for estimator in estimators]


def copy_case(eta: float, width: int, steps: int, seeds: int) -> Case:
    """One pass over a stream, one step at a time: Adam with η_t = η / (1 + 3·10⁻³ t), t in steps."""
    task = Copy(5)
    optimiser = optax.adam(lambda count: eta / (1 + 3e-3 * count))
    trial = StreamTrial(Learner(task, UORO(), optimiser), lambda key: network(task, width, key), 1, 1)
    record = {"task": "Copy(5)", "width": width, "eta": eta, "rate": 3e-3}
    return trained(f"{width} units, η = {eta:g}", seeded(trial, seeds, steps // 500), steps, record)


def variance_copy(scale: Scale) -> list[Case]:
    etas, widths, steps, seeds = {
        "smoke": ((3e-3,), (4, 8), 2_000, 2),
        "laptop": ((1e-4, 3e-3), (8, 64, 256, 512), 30_000, 3),
        "paper": ((1e-4, 3e-3), (8, 64, 256, 512, 1024), 100_000, 3),
    }[scale]
    return [copy_case(eta, width, steps, seeds) for eta in etas for width in widths]


ITEMS = [
    Item(
        "uoro/variance",
        "Relative variance over time (fig. 3.1a)",
        "A GRU of 64 units is trained on characters, and then run 100 times over the first 10,000 without learning. The "
        "thesis trains on 10⁷ characters of Shakespeare, and finds that the relative variance of UORO's gradient does not "
        "grow with time; this text is sources of Python's library, of which 5,040,000 characters are for training. "
        "Each line is of the characters since the line before it. Where runs that begin halfway are as noisy as those "
        "from the start, what changes is the text and not the time.",
        variance,
        {"smoke": 1, "laptop": 10, "paper": 100},
        METRIC,
        RELATIVE,
        {},
        along="characters",
    ),
    Item(
        "uoro/variance-width",
        "Relative variance and the number of units (fig. 3.1b)",
        "Untrained GRUs read 10 characters, of the same text as above: the relative variance of UORO's gradient, over 100 "
        "runs, grows with the number of units. Rank 4 is ours.",
        variance_width,
        {"smoke": 1, "laptop": 5, "paper": 15},
        METRIC,
        RELATIVE,
        {},
        along="units",
    ),
    Item(
        "uoro/variance-copy",
        "Copy with a lag of 5, and the number of units (fig. 3.1c)",
        "All networks learn with Adam and the same steps, η_t = η / (1 + 3·10⁻³ t). In the thesis, which has no sizes and "
        "no optimiser, the error falls slowly and steadily with η = 10⁻⁴, and that of the largest network jumps, as its "
        "gradient is too noisy. With η = 3·10⁻³ the larger networks learn the slower, for the same reason.",
        variance_copy,
        {"smoke": 1, "laptop": 6, "paper": 200},
        "losses/loss",
        Unit("nats a step"),
        {"optimum": 0.0, "memoryless": Copy(5).memoryless, "guess of the data": Copy(5).blind},
    ),
]
