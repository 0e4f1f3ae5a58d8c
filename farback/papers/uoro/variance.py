"""The variance of UORO: Tallec and Ollivier, ICLR 2018; thesis sections 3.5 and 3.6.

The relative variance of an estimate g of a gradient is E‖g − E g‖² / ‖E g‖² (3.22). Here E g is the exact gradient, as UORO
has no bias. With the mean of n draws instead, a relative variance R would be estimated as about R / (1 + R / n), at most n.
"""

from collections.abc import Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from farback.cells import GRU
from farback.estimators import BPTT, RTRL, UORO, AbstractEstimator
from farback.learner import ReadoutNetwork, Supervised
from farback.network import NetworkStep
from farback.papers.engine.data import source_text
from farback.papers.engine.item import Case, Measured, Metric, Place
from farback.papers.engine.runs import Words, configured, constructed, evaluation, kept, log
from farback.papers.uoro.streams import adam, cell_of
from farback.runs.kinds import build
from farback.runs.log import Row
from farback.runs.saved import LoadedRun
from farback.step import AbstractStep, Model
from farback.tasks import AbstractTask, Copy, Text
from farback.tasks.base import Question, classification
from farback.types import Carry, Window

RELATIVE = Metric("charts/relative_variance", "relative variance")


@eqx.filter_jit
def along_stream(
    task: AbstractTask, estimator: AbstractEstimator, model: Model, key: PRNGKeyArray, runs: int, steps: int, begun: int = 0
) -> tuple[Float[Array, " steps"], Float[Array, " steps"]]:
    """Returns (E ‖g − E g‖², ‖E g‖²) of the gradient of each step's loss, at fixed parameters.

    All runs read the same stream, from step `begun` on, and differ in their random signs. E g is the gradient of RTRL.
    """
    step, exact = NetworkStep(task.loss), RTRL()
    batch = (Carry(None, 0), 0)  # the memory is the same in all runs

    def one(running, key):
        sources, carry, exact_carry = running
        sources, window = task.window(sources, 1)
        mean, exact_carry, _ = exact.gradient(step, model, exact_carry, window, key)

        def draw(carry, key):
            gradient, carry, _ = estimator.gradient(step, model, carry, window, key)
            return optax.tree.norm(optax.tree.sub(gradient, mean), squared=True), carry

        noise, carry = jax.vmap(draw, batch, batch[::-1])(carry, jax.random.split(key, runs))
        return (sources, carry, exact_carry), (jnp.mean(noise), optax.tree.norm(mean, squared=True))

    sources = jax.lax.fori_loop(0, begun, lambda _, sources: task.window(sources, 1)[0], task.sources(1, key))
    window = task.window(sources, 1)[1]
    carry = estimator.init(step, model, window)
    trace = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (runs, *leaf.shape)), carry.trace)
    start = (sources, Carry(carry.state, trace), exact.init(step, model, window))
    return jax.lax.scan(one, start, jax.random.split(key, steps))[1]


def bins(steps: int) -> list[int]:
    """The ends of the parts of a stream: 10, 20, 50, 100, 200, 500, ..., and its own end."""
    ends = (first * 10**power for power in range(1, 9) for first in (1, 2, 5))
    return [*(end for end in ends if end < steps), steps]


def stationarity(run: LoadedRun, task: AbstractTask, runs: int, steps: int, begun: int) -> list[Row]:
    """The relative variance of each seed's gradient in each part of a stream: the mean ‖g − E g‖² over the mean ‖E g‖².

    A mean of ratios would be dominated by the few steps whose exact gradient is nearly 0.
    """
    step = run.facts["update"] * run.algorithm.steps_per_update
    ends, rows = np.array([end for end in bins(steps) if end > begun]), []
    for seed, model in run.networks().items():
        found = along_stream(task, UORO(), model, jax.random.key(seed), runs, steps - begun, begun)
        noise, signal = (np.add.reduceat(np.asarray(part), [0, *(ends[:-1] - begun)]) for part in found)
        relative = zip(ends.tolist(), (noise / signal).tolist(), strict=True)
        rows += [{"seed": seed, "step": step, "characters": end, RELATIVE.name: value} for end, value in relative]
    return rows


def over_time(characters: int, seeds: int, runs: int, steps: int) -> list[Case]:
    """A network trained in one pass, as in table 3.1, then run over the first `steps` characters, or their second half."""
    path = str(source_text())
    words = Words(batch_size=1, window=1, seeds=seeds, task=f"Text({path!r})")
    words |= {"cell": cell_of("GRU", 64), "estimator": "UORO()", "optimizer": adam(0.03, 1)}
    training = configured("supervised", characters, 1000, **words)

    def case(name: str, begun: int) -> Case:
        return Case(name, evaluation(training, lambda run: stationarity(run, Text(path), runs, steps, begun)))

    return [case("UORO()", 0), case("begun halfway", steps // 2)]


LAST = NetworkStep(lambda output, target: classification(output, target.label, target.weight))
"""The step of a prediction of symbols whose losses have weights."""


def only_last(window: Window) -> Window:
    """A window of symbols to predict, with weight 0 for all losses but the last."""
    steps = window.first.shape[1]
    weight = jnp.broadcast_to((jnp.arange(steps) == steps - 1).astype(window.inputs.dtype), window.first.shape)
    return Window(window.first, window.inputs, Question(window.targets, weight))


@eqx.filter_jit
def relative_variance(
    estimator: AbstractEstimator, step: AbstractStep, model: Model, window: Window, key: PRNGKeyArray, runs: int
) -> Float[Array, ""]:
    """The relative variance of the gradient of a window without a past, over `runs` draws.

    E g is the gradient of BPTT over the window: RTRL's trace of a wide network does not fit in memory.
    """
    mean = BPTT().gradient(step, model, BPTT().init(step, model, window), window, key)[0]
    carry = estimator.init(step, model, window)

    def draw(key):
        gradient = estimator.gradient(step, model, carry, window, key)[0]
        return optax.tree.norm(optax.tree.sub(gradient, mean), squared=True)

    noise = jax.lax.map(draw, jax.random.split(key, runs), batch_size=10)  # a draw's trace is as large as the parameters
    return jnp.mean(noise) / optax.tree.norm(mean, squared=True)


def by_width(widths: Sequence[int], seeds: int, runs: int, steps: int = 10) -> list[Case]:
    """The gradient of the last of `steps` losses of untrained networks. Each seed has its own network and text."""

    def of_width(estimator: str, width: int) -> list[Row]:
        task, rows = Text(str(source_text())), []
        window = only_last(task.window(task.sources(seeds, jax.random.key(0)), steps)[1])
        for seed in range(seeds):
            model_key, key = jax.random.split(jax.random.key(seed))
            own = jax.tree.map(lambda leaf, at=seed: leaf[at : at + 1], window)
            model = ReadoutNetwork(partial(GRU, size=width))(task, key=model_key)
            found = relative_variance(build(estimator, AbstractEstimator), LAST, model, own, key, runs)
            rows.append({"seed": seed, "step": steps, "units": width, RELATIVE.name: float(found)})
        return rows

    def measure(estimator: str, place: Place) -> Measured:
        each = place.track(place.title, widths)
        parts = [kept(place.home / f"{width}-units.json", partial(of_width, estimator, width)) for width in each]
        return Measured([row for rows in parts for row in rows])

    return [Case(estimator, partial(measure, estimator)) for estimator in ("UORO()", "UORO(rank=4)")]


def of_copy(etas: Sequence[float], widths: Sequence[int], steps: int, seeds: int) -> list[Case]:
    """One pass over a stream, one step at a time: Adam with η_t = η / (1 + 3·10⁻³ t), t in steps."""

    def case(eta: float, width: int) -> Case:
        optimizer = optax.adam(lambda count: eta / (1 + 3e-3 * count))
        algorithm = Supervised(Copy(5), ReadoutNetwork(partial(GRU, size=width)), UORO(), optimizer, 1, 1)
        record = {"task": "Copy(5)", "width": width, "eta": eta, "rate": 3e-3}
        return Case(f"{width} units, η = {eta:g}", log(constructed(algorithm, steps, seeds, 500, record)))

    return [case(eta, width) for eta in etas for width in widths]
