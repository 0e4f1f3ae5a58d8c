"""How long a memory can be learnt: a task or a maze is doubled until it is solved no more."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from engram.agents.acting import episodes
from engram.objectives import AbstractPlay
from engram.objectives.detectors import gone_through
from engram.runs.acting import ActingTrial
from engram.runs.foreseeing import ForeseeingTrial
from engram.runs.program import Program
from engram.runs.saved import evaluation_key
from engram.runs.trial import AbstractTrial, StreamTrial
from engram.step import Model
from engram.types import InputError

PLAYED = 256
"""Episodes that a model is scored in."""
LOOK, SHARE = 3.0, 4
"""Seconds of training between two scores, but not less than so many times what scores take."""


class Standing(NamedTuple):
    """What a model scores on fresh data, beside the best that can be had without memory, and the best there is."""

    score: Any
    memoryless: Any
    optimum: Any

    @property
    def mastery(self) -> Any:
        """How far it has come from no memory, 0, to the optimum, 1."""
        return (self.score - self.memoryless) / (self.optimum - self.memoryless)


class Attempt(NamedTuple):
    """What came of one size.

    - `size`: how long it was.
    - `seconds`: of training, without compiling and scoring.
    - `updates`: of each seed.
    - `standings`: of each seed.
    - `solved`: whether all of them are masters.
    """

    size: int
    seconds: float
    updates: int
    standings: tuple[Standing, ...]
    solved: bool

    @property
    def mastery(self) -> tuple[float, ...]:
        """Of each seed."""
        return tuple(float(standing.mastery) for standing in self.standings)

    @property
    def percent(self) -> str:
        """The same, as it is shown."""
        return " ".join(f"{value:z.0%}" for value in self.mastery)


def certify(
    program: Callable[[int], Program],
    size: int,
    seconds: float,
    level: float = 0.95,
    *,
    heard: Callable[[Attempt], None] = lambda attempt: None,
) -> Iterator[Attempt]:
    """Tries a size, and twice that if it was solved, and so on, until one is not.

    **Arguments:**

    - `program`: what is trained, from the size.
    - `size`: the first one: how many steps are to be remembered.
    - `seconds`: how long each size may be trained. An update that has begun is ended.
    - `level`: the mastery that every seed must have.
    - `heard`: hears how it goes, after each look at the seeds.
    """
    if size < 1:
        raise InputError(f"size = {size}: give 1 at least.")
    if not seconds > 0:
        raise InputError(f"seconds = {seconds}: there is no time to learn; give more than 0.")
    if not 0 < level <= 1:
        raise InputError(f"level = {level}: 0 is what can be had without memory, and 1 the optimum; give 0.95, say.")
    while True:
        attempt = _attempt(program(size), size, seconds, level, heard)
        yield attempt
        if not attempt.solved:
            return
        size *= 2


def _attempt(program: Program, size: int, seconds: float, level: float, heard: Callable[[Attempt], None]) -> Attempt:
    trial, running = program.trial.held_out(), program.init()
    took, updates, step = 0.0, 0, 1
    score: Any = eqx.filter_jit(partial(standing, size=size))
    score = score.lower(trial, program.model(running, 0), evaluation_key(program.seeds[0])).compile()
    program.compile()
    while True:
        began = time.perf_counter()
        step = min(step, program.room(updates))
        running, _, sound = program.advance(running, step, updates)
        updates, spent = updates + step, time.perf_counter() - began
        took += spent
        began = time.perf_counter()
        models = [(program.model(running, index), evaluation_key(seed)) for index, seed in enumerate(program.seeds)]
        found = tuple(Standing(*map(float, score(trial, *each))) for each in models)
        looked = time.perf_counter() - began
        if any(one.memoryless == one.optimum for one in found):
            raise InputError(
                f"With memory and without it the best there is has {found[0].optimum:.4g}: there is nothing to remember, "
                f"and nothing to certify; give another task or environment."
            )
        masters = all(standing.mastery >= level for standing in found)
        attempt = Attempt(size, took, updates, found, bool(sound.all()) and masters)
        heard(attempt)
        if attempt.solved or took >= seconds or not sound.all():
            return attempt
        # As many as fill the time until the next look, and what is left.
        step = max(1, int(step * min(max(LOOK, SHARE * looked), seconds - took) / max(spent, 1e-3)))


def standing(trial: AbstractTrial, model: Model, key: PRNGKeyArray, size: int) -> Standing:
    """What a model scores on fresh data, and what can be had.

    Who tells what comes of random play is scored by the error at the last step of an episode: the variance of what comes
    then is what can be had without memory, and 0 with it. A task without episodes goes on for many times the steps that
    are to be remembered.
    """
    match trial:
        case ActingTrial():
            score = jnp.mean(episodes(trial.agent.env, model, key, PLAYED).returns)
        case ForeseeingTrial() if isinstance(trial.learner.episodes, AbstractPlay):
            return _of_last_steps(trial, model, key)
        case ForeseeingTrial():
            score = trial.evaluate(model, key, -(-PLAYED // trial.batch))[trial.aim.metric].mean
        case StreamTrial():
            steps = trial.learner.task.steps or 2 * size
            score = trial.evaluate(model, key, -(-PLAYED * steps // trial.steps))[trial.aim.metric].mean
        case _:
            raise InputError(f"{type(trial).__name__} has no scale from no memory to the optimum.")
    levels = trial.aim.levels
    if not {"optimum", "memoryless"} <= set(levels):
        raise InputError(
            "It is not known what the best there is, and the best without memory, would have: certify on a task or an "
            "environment that states both, such as TMaze."
        )
    return Standing(score, levels["memoryless"], levels["optimum"])


def _of_last_steps(trial: ForeseeingTrial, model: Model, key: PRNGKeyArray) -> Standing:
    recording = trial.learner.episodes.draw(PLAYED, key)
    last = jnp.sum(recording.counts, axis=1)[:, None] - 1
    error, came = (
        jnp.take_along_axis(leaf, last, axis=1)
        for leaf in (gone_through(trial.learner.episodes, model, recording).error, recording.targets)
    )
    return Standing(jnp.mean(error), jnp.var(came), 0.0)
