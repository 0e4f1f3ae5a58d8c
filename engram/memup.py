"""Memory trained on the surprises of the far future."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from engram.cell import AbstractCell
from engram.cells.foresight import Foresight
from engram.cells.strided import Strided
from engram.descent import descend
from engram.estimators.base import AbstractEstimator, example_keys
from engram.objectives.detectors import AbstractDetector, Errors, Slow, gone_through
from engram.objectives.episodes import AbstractEpisodes, Recording
from engram.objectives.surprise import AbstractChoice, Chosen, Surprising
from engram.step import AbstractStep, Metrics
from engram.types import InputError, Outcome, Tally, Window


class Questions(NamedTuple):
    """What is asked after a block of steps: of steps to come, and of its own.

    - `asked`, `context`, `target`: of the steps to come, leaves `[questions, ...]`.
    - `weight`: whether each of them counts (1 or 0).
    - `surroundings`, `present`: the context of the steps of the block, and what came of them, leaves `[block, ...]`.
    - `counts`: whether each of them counts (1 or 0).
    """

    asked: Any
    context: Any
    target: Any
    weight: Float[Array, "*steps questions"]
    surroundings: Any
    present: Any
    counts: Float[Array, "*steps block"]


class Foretell(AbstractStep):
    """The step of a `Foresight`: its memory goes through a block, and is asked what will come, and what comes now.

    A block of one step is that step, so that an estimator sees the memory as the cell that it is.

    **Arguments:**

    - `episodes`: what charges it.
    - `every`: the steps of a block.
    - `present`: whether it is asked about its own steps too.
    """

    episodes: AbstractEpisodes
    every: int
    present: bool

    def encode(self, model: Foresight, data: Window) -> Any:
        del model
        return data.inputs.seen if self.every > 1 else jax.tree.map(lambda leaf: leaf[0], data.inputs.seen)

    def memory(self, model: Foresight) -> AbstractCell:
        return Strided(model.memory) if self.every > 1 else model.memory

    def charge(self, model: Foresight, output: Any, data: Window) -> tuple[Float[Array, ""], Metrics]:
        remembered = output if self.every > 1 else jax.tree.map(lambda leaf: leaf[None], output)
        last = jax.tree.map(lambda leaf: leaf[-1], remembered)

        def charged(weight, remembered, context, asked, target):
            return weight * self.episodes.loss(model.head(remembered, context, asked), target)[0]

        asked, context, target, weight, surroundings, present, counts = data.targets
        future = jax.vmap(charged, in_axes=(0, None, 0, 0, 0))(weight, last, context, asked, target)
        metrics = {"losses/future": Tally(jnp.sum(future), jnp.sum(weight))}
        if not self.present:
            return jnp.sum(future), metrics
        now = jax.vmap(charged)(counts, remembered, surroundings, data.inputs.asked, present)
        metrics["losses/present"] = Tally(jnp.sum(now), jnp.sum(counts))
        return jnp.sum(future) + jnp.sum(now), metrics


class Foreseeing(eqx.Module):
    """The whole state of a learner: all that is needed to go on exactly as if nothing had come between."""

    model: Foresight
    optimiser: PyTree
    known: PyTree
    key: PRNGKeyArray
    updates: Int[Array, ""]


class Prepared(eqx.Module):
    """Episodes, gone through: what is asked at each step, and what surrounds it; leaves `[batch, time, ...]`."""

    recording: Recording
    chosen: Chosen
    context: Any


class MemUP(eqx.Module):
    """Trains a memory to tell what will be surprising, so that credit need not pass through the time between:

        min  Σ_t Σ_{k ∈ U_t} ℓ(head(m_t, c_k, a_k), y_k),      U_t ⊂ {t, …, T} chosen by surprise                     (5)

    Each update is on a window of the episodes of a batch, one after the other; the state of the memory is carried from each
    to the next. The gradient of a window is an ordinary estimator's: with `BPTT()`, credit passes through the window and no
    further, as in the paper, where it has r = 1 to 60 steps. What is chosen is constant: no credit goes to what was
    remembered there.

    A detector goes through the episodes first. Where nothing surprises it more than anything else, what is asked is
    arbitrary; the metric `constant` says how often. The other metrics of a pass are of the model that goes through them,
    before anything is learnt from them: with `Slow`, the one that follows. Steps whose surprise is NaN are not asked about.

    With blocks of one step, any estimator will do that takes the memory; with longer ones, a forward
    estimator treats all that the cell holds as one, whatever its structure.

    **Arguments:**

    - `episodes`: what is learnt.
    - `estimator`, `optimiser`: as of a `Learner`.
    - `choice`: of the steps to come.
    - `every`: the steps of a block, at whose end the memory is asked about steps to come.
    - `present`: whether it is asked, at each step, about that step too.
    - `detector`: of what is surprising.

    Reference: Sorokin et al., *Explain my surprise: learning efficient long-term memory by predicting uncertain outcomes*,
    NeurIPS 2022.
    """

    episodes: AbstractEpisodes
    estimator: AbstractEstimator
    optimiser: optax.GradientTransformation
    choice: AbstractChoice = Surprising()
    every: int = 1
    present: bool = True
    detector: AbstractDetector = Slow()

    def __check_init__(self):
        if not 1 <= self.every <= self.episodes.steps:
            raise InputError(
                f"MemUP(every={self.every}): it is asked at the end of so many steps, of which an episode has "
                f"{self.episodes.steps}; give 1 to {self.episodes.steps}."
            )
        if not self.present and not self.choice.targets:
            raise InputError("MemUP(present=False) with no targets asks nothing: give Surprising(targets) of 1 at least.")
        if self.choice.targets > self.episodes.steps:
            raise InputError(
                f"{type(self.choice).__name__}(targets={self.choice.targets}): an episode has {self.episodes.steps} steps; "
                f"give {self.episodes.steps} at most."
            )

    @property
    def step(self) -> Foretell:
        return Foretell(self.episodes, self.every, self.present)

    def init(self, model: AbstractCell, *, key: PRNGKeyArray) -> Foreseeing:
        """The state before the first update."""
        if not isinstance(model, Foresight):
            raise InputError(f"{type(model).__name__} is no Foresight: give Foresight(memory, head).")
        optimiser = self.optimiser.init(eqx.filter(model, eqx.is_inexact_array))
        key, detector_key = jax.random.split(key)
        known = self.detector.init(self.episodes, model, detector_key)
        return Foreseeing(model, optimiser, known, key, jnp.zeros((), int))

    def windows(self, length: int) -> int:
        """The updates of a pass through episodes, by windows of so many steps."""
        if length % self.every:
            raise InputError(f"length={length} is no multiple of MemUP(every={self.every}): give one, or change every.")
        return -(-self.episodes.steps // length)

    def update(self, state: Foreseeing, batch: int, length: int) -> tuple[Foreseeing, Outcome]:
        """A pass through fresh episodes, which are looked at for NaN first: an update for each window of so many steps."""
        key, draw_key, choice_key, pass_key = jax.random.split(state.key, 4)
        recording = self._padded(self.episodes.draw(batch, draw_key).checked(), length)
        state, prepared, said = self.prepare(state, recording, choice_key)
        state, outcome = self.learn(state, prepared, length, pass_key)
        return dataclasses.replace(state, key=key), Outcome(outcome.loss, outcome.metrics | said)

    def prepare(self, state: Foreseeing, recording: Recording, key: PRNGKeyArray) -> tuple[Foreseeing, Prepared, Metrics]:
        """What is asked in episodes, and what surrounds their steps; and what is worth knowing about it."""
        study_key, choice_key = jax.random.split(key)
        errors = gone_through(self.episodes, self.detector.observer(state.known, state.model), recording)
        surprise = self.detector.surprise(state.known, recording, errors)
        chosen = jax.vmap(self.choice)(surprise, recording.counts, example_keys(choice_key, len(surprise)))
        known = self.detector.study(state.known, recording, study_key)
        said = self.metrics(recording, errors) | {"constant": _constant(surprise, recording.counts)}
        return dataclasses.replace(state, known=known), Prepared(recording, chosen, errors.context), said

    def metrics(self, recording: Recording, errors: Errors) -> Metrics:
        """What is worth knowing about a model's errors: the mean, and that of the episodes' last steps."""
        error, counts = errors.error, recording.counts.astype(errors.error.dtype)
        last = jnp.sum(recording.counts, axis=1) - 1
        final, there = jnp.take_along_axis(error, last[:, None], axis=1)[:, 0], (last >= 0).astype(error.dtype)
        return errors.metrics | {
            "surprise": Tally(jnp.sum(error), jnp.sum(counts)),
            "last_surprise": Tally(jnp.sum(there * final), jnp.sum(there)),
        }

    def learn(self, state: Foreseeing, prepared: Prepared, length: int, key: PRNGKeyArray) -> tuple[Foreseeing, Outcome]:
        """An update for each window of episodes."""
        steps = prepared.recording.counts.shape[1]
        static = eqx.filter(state, eqx.is_array, inverse=True)
        first = self.window(prepared, jnp.zeros((), int), length)
        carry = self.estimator.init(self.step, state.model, first)

        def one(running, now):
            arrays, carry = running
            state, (start, key) = eqx.combine(arrays, static), now
            window = self.window(prepared, start, length)
            gradient, carry, outcome = self.estimator.gradient(self.step, state.model, carry, window, key)
            model, optimiser = descend(self.optimiser, state.model, state.optimiser, gradient, outcome.loss)
            model = dataclasses.replace(model, context=state.model.context)  # which an optimiser may shrink
            known = self.detector.follow(state.known, model)
            state = Foreseeing(model, optimiser, known, state.key, state.updates + 1)
            return (eqx.filter(state, eqx.is_array), carry), outcome

        starts = jnp.arange(0, steps, length)
        running = (eqx.filter(state, eqx.is_array), carry)
        (arrays, _), outcomes = jax.lax.scan(one, running, (starts, jax.random.split(key, len(starts))))
        outcome = Outcome(jnp.mean(outcomes.loss), jax.tree.map(jnp.sum, outcomes.metrics))
        return eqx.combine(arrays, static), outcome

    def window(self, prepared: Prepared, start: Int[Array, ""], length: int) -> Window:
        """The blocks of a window of episodes, each with what it is asked."""
        blocks = length // self.every
        ends = start + self.every * (1 + jnp.arange(blocks)) - 1

        def one(recording, chosen, context):
            steps, weight = chosen.steps[ends], chosen.weight[ends]
            there = (recording.told.asked, context, recording.targets)
            asked, around, target = jax.tree.map(lambda leaf: leaf[steps], there)
            here = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, length), (recording, context))
            now, near = jax.tree.map(lambda leaf: leaf.reshape(blocks, self.every, *leaf.shape[1:]), here)
            counts = now.counts.astype(weight.dtype)
            return Window(ends < self.every, now.told, Questions(asked, around, target, weight, near, now.targets, counts))

        return jax.vmap(one)(prepared.recording, prepared.chosen, prepared.context)

    def _padded(self, recording: Recording, length: int) -> Recording:
        """Episodes of a whole number of windows."""
        extra = self.windows(length) * length - recording.counts.shape[1]
        return jax.tree.map(lambda leaf: jnp.pad(leaf, [(0, 0), (0, extra)] + [(0, 0)] * (leaf.ndim - 2)), recording)


def _constant(surprise: Float[Array, "batch time"], counts: Bool[Array, "batch time"]) -> Tally:
    """How often nothing in an episode is more surprising than anything else, so that what is asked is arbitrary."""
    most = jnp.where(counts, surprise, -jnp.inf).max(axis=1)
    least = jnp.where(counts, surprise, jnp.inf).min(axis=1)
    same = ((least <= most) & (most - least <= 1e-6 * jnp.abs(most))).astype(surprise.dtype)
    return Tally(jnp.sum(same), jnp.sum(jnp.ones_like(same)))
