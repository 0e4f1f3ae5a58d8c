"""Whole episodes to learn from, each from its beginning."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from engram.tasks.base import AbstractTask, Part
from engram.types import InputError, Tally, Told, require_finite


class Recording(eqx.Module):
    """Episodes, leaves `[batch, time, ...]`.

    - `told`: what is seen at each step, and told to whoever is asked about it.
    - `targets`: what came of it.
    - `counts`: whether it is a step of the episode, which may be over before the others are.
    """

    told: Told
    targets: PyTree[Array]
    counts: Bool[Array, "*batch time"]

    def checked(self) -> "Recording":
        """This recording, after making sure that no value is NaN or infinite, where there are values."""
        require_finite("Recording.told", self.told)
        require_finite("Recording.targets", self.targets)
        return self


class AbstractEpisodes(eqx.Module):
    """Where episodes come from, and how it is charged what is said of their steps.

    - `steps`: of the longest episode.
    """

    steps: eqx.AbstractVar[int]

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, int, int]:
        """How many numbers are seen, are told to whoever is asked, and are to be said."""

    @abstractmethod
    def draw(self, count: int, key: PRNGKeyArray) -> Recording:
        """So many episodes."""

    @property
    def levels(self) -> Mapping[str, float]:
        """Expected losses to compare with, by name, where they are known."""
        return {}

    def held_out(self, part: Part = "test") -> "AbstractEpisodes":
        """Episodes that training never sees: by default these, which are drawn afresh from every key."""
        del part
        return self

    @abstractmethod
    def loss(self, output: Any, target: Any) -> tuple[Float[Array, ""], dict[str, Tally]]:
        """What is charged for an output at one step, and what else is worth knowing about it."""


class OfTask(AbstractEpisodes):
    """Episodes of a task, all of one length; whoever is asked about a step is told its input.

    **Arguments:**

    - `task`: a task whose episodes all have as many steps.
    - `steps`: how many, where the task does not say so.
    """

    task: AbstractTask
    steps: int

    def __init__(self, task: AbstractTask, steps: int | None = None):
        self.task, self.steps = task, known_steps(steps, task.steps, task)
        if task.steps is not None and self.steps > task.steps:
            raise InputError(f"OfTask(steps={steps}): an episode of {type(task).__name__} has {task.steps}; give no more.")

    @property
    def sizes(self) -> tuple[int, int, int]:
        return self.task.input_size, self.task.input_size, self.task.output_size

    @property
    def levels(self) -> Mapping[str, float]:
        known = {"optimum": self.task.optimum, "memoryless": self.task.memoryless}
        return {name: level for name, level in known.items() if math.isfinite(level)}

    def held_out(self, part: Part = "test") -> "OfTask":
        return OfTask(self.task.held_out(part), self.steps)

    def draw(self, count: int, key: PRNGKeyArray) -> Recording:
        _, window = self.task.window(self.task.anywhere(count, key), self.steps)
        return Recording(Told(window.inputs, window.inputs), window.targets, jnp.ones(window.first.shape, bool))

    def loss(self, output: Any, target: Any) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return self.task.loss(output, target)


def known_steps(given: int | None, known: int | None, of: Any) -> int:
    """How many steps an episode has."""
    if given is None and known is None:
        raise InputError(f"How long episodes of {type(of).__name__} are is not known: give steps=.")
    steps = known if given is None else given
    assert steps is not None
    if steps < 1:
        raise InputError(f"steps={given}: an episode has 1 step at least; give steps >= 1.")
    return steps
