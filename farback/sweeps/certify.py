"""Certification: the size of a task or an environment doubles until an algorithm fails to solve it."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx

from farback.algorithm import Score
from farback.runs.program import Program, ProgramState
from farback.runs.saved import evaluation_key
from farback.types import InputError

EPISODES = 256
"""The number of episodes that score a network."""
SCORE_SECONDS = 3.0
"""The least seconds of training between two scores."""
SCORE_RATIO = 4
"""The least ratio of the time of training to the time of scoring."""


class CertifyResult(NamedTuple):
    """The result of one size.

    - `size`: the size, in steps that the memory must bridge.
    - `seconds`: the seconds of training, without compilation and scoring.
    - `updates`: the updates of each seed.
    - `scores`: the score of each seed.
    - `solved`: whether the mastery of every seed reached the threshold.
    """

    size: int
    seconds: float
    updates: int
    scores: tuple[Score, ...]
    solved: bool

    @property
    def mastery(self) -> tuple[float, ...]:
        """The mastery of each seed."""
        return tuple(float(score.mastery) for score in self.scores)

    @property
    def percent(self) -> str:
        """The mastery of each seed in percent."""
        return " ".join(f"{value:z.0%}" for value in self.mastery)


def certify(
    program: Callable[[int], Program],
    size: int,
    seconds: float,
    threshold: float = 0.95,
    *,
    progress: Callable[[CertifyResult], None] = lambda result: None,
) -> Iterator[CertifyResult]:
    """Trains on a size, and doubles it until a seed does not solve it. Yields a result per size.

    **Arguments:**

    - `program`: returns the program for a size.
    - `size`: the first size, in steps that the memory must bridge.
    - `seconds`: the seconds of training per size. The last update is completed, even past this time.
    - `threshold`: the mastery that every seed must reach: 0 is the best memoryless score, 1 the optimum.
    - `progress`: called with an intermediate result after each scoring.
    """
    if size < 1:
        raise InputError(f"size = {size}: give size >= 1.")
    if not seconds > 0:
        raise InputError(f"seconds = {seconds}: give seconds > 0.")
    if not 0 < threshold <= 1:
        raise InputError(
            f"threshold = {threshold}: 0 is the best memoryless score, 1 the optimum; give 0 < threshold <= 1."
        )
    while True:
        result = _try(program(size), size, seconds, threshold, progress)
        yield result
        if not result.solved:
            return
        size *= 2


def _try(
    program: Program, size: int, seconds: float, threshold: float, progress: Callable[[CertifyResult], None]
) -> CertifyResult:
    state = program.init()
    scores = _scorer(program, state, size)
    program.compile()
    took, updates, count = 0.0, 0, 1
    while True:
        began = time.perf_counter()
        count = min(count, program.room(updates))
        state, _, finite = program.advance(state, count, updates)
        updates, spent = updates + count, time.perf_counter() - began
        took += spent
        began = time.perf_counter()
        found = scores(state)
        scoring = time.perf_counter() - began
        mastered = all(one.mastery >= threshold for one in found)
        result = CertifyResult(size, took, updates, found, bool(finite.all()) and mastered)
        progress(result)
        if result.solved or took >= seconds or not finite.all():
            return result
        # Fill the time until the next scoring, but not more than the time that is left.
        count = max(1, int(count * min(max(SCORE_SECONDS, SCORE_RATIO * scoring), seconds - took) / max(spent, 1e-3)))


def _scorer(program: Program, state: ProgramState, size: int) -> Callable[[ProgramState], tuple[Score, ...]]:
    """Returns a compiled function that scores every seed."""
    algorithm = program.algorithm.split()
    keys = [evaluation_key(seed) for seed in program.seeds]

    def score(algorithm, network, key):
        return algorithm.score(network, key, EPISODES, 2 * size)

    example = (algorithm, program.network(state, 0), keys[0])
    if eqx.filter_eval_shape(score, *example) is None:
        raise InputError(
            "The optimum and the best memoryless score are unknown: certify on a task or an environment that states both, "
            "such as TMaze."
        )
    jitted: Any = eqx.filter_jit(score)
    compiled = jitted.lower(*example).compile()

    def scores(state: ProgramState) -> tuple[Score, ...]:
        networks = [program.network(state, index) for index in range(len(keys))]
        found = tuple(Score(*map(float, compiled(algorithm, *each))) for each in zip(networks, keys, strict=True))
        if any(one.memoryless == one.optimum for one in found):
            raise InputError(
                f"The best memoryless score equals the optimum, {found[0].optimum:.4g}: no memory is needed; give another "
                f"task or environment."
            )
        return found

    return scores
