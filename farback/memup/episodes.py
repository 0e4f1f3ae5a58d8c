"""Sources of whole episodes."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Space
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from farback.algorithm import Score
from farback.memup.predictor import PredictorInputs
from farback.tasks.base import AbstractTask
from farback.types import InputError, Split, Tally, require_finite


class Trajectories(eqx.Module):
    """Episodes, each from its beginning; leaves `[batch, time, ...]`.

    - `inputs`: the observation of each step, and its action if there are actions.
    - `targets`: the outcome of each step.
    - `mask`: whether the step belongs to the episode. Short episodes are padded.
    """

    inputs: PredictorInputs
    targets: PyTree[Array]
    mask: Bool[Array, "*batch time"]

    def checked(self) -> "Trajectories":
        """Returns these episodes, and refuses values that are NaN or infinite. Compiled programs skip the check."""
        require_finite("Trajectories.inputs", self.inputs)
        require_finite("Trajectories.targets", self.targets)
        return self

    def padded(self, steps: int) -> "Trajectories":
        """Returns these episodes with `steps` more steps, which the mask excludes."""
        return jax.tree.map(lambda leaf: jnp.pad(leaf, [(0, 0), (0, steps)] + [(0, 0)] * (leaf.ndim - 2)), self)


class AbstractEpisodeSource(eqx.Module):
    """Draws episodes, and defines the loss of predicting the outcome of a step.

    - `steps`: the length of the longest episode.
    """

    steps: eqx.AbstractVar[int]

    @property
    @abstractmethod
    def observation_space(self) -> Space[Any]:
        """The space of the observations."""

    @property
    def action_space(self) -> Space[Any] | None:
        """The space of the actions, or `None` if steps have no actions."""
        return None

    @property
    @abstractmethod
    def output_size(self) -> int:
        """The length of a prediction."""

    @abstractmethod
    def draw(self, count: int, key: PRNGKeyArray) -> Trajectories:
        """Returns `count` episodes."""

    @abstractmethod
    def loss(self, output: Any, target: Any) -> tuple[Float[Array, ""], dict[str, Tally]]:
        """Returns `(loss, metrics)` of the prediction of one step's outcome."""

    @property
    def levels(self) -> Mapping[str, float]:
        """Known values of the expected loss, by name, such as the optimum."""
        return {}

    def split(self, part: Split = "test") -> "AbstractEpisodeSource":
        """Returns the source of held-out episodes; by default this one, since fresh keys draw fresh episodes."""
        del part
        return self

    def score(self, error: Float[Array, "batch time"], episodes: Trajectories) -> Score | None:
        """Returns the mean loss of episodes beside its known levels, or None where they are unknown."""
        if not {"optimum", "memoryless"} <= set(self.levels):
            return None
        mean = jnp.sum(error) / jnp.sum(episodes.mask).astype(error.dtype)
        return Score(mean, self.levels["memoryless"], self.levels["optimum"])


class TaskEpisodes(AbstractEpisodeSource):
    """Episodes of a supervised task. The outcome of a step is its target.

    **Arguments:**

    - `task`: a task whose episodes all have the same length.
    - `steps`: the length of an episode. By default, the task's own.
    """

    task: AbstractTask
    steps: int

    def __init__(self, task: AbstractTask, steps: int | None = None):
        self.task, self.steps = task, known_steps(steps, task.episode_length, task)
        if task.episode_length is not None and self.steps > task.episode_length:
            raise InputError(
                f"TaskEpisodes(steps={steps}): an episode of {type(task).__name__} has {task.episode_length} steps; give "
                f"steps <= {task.episode_length}."
            )

    @property
    def observation_space(self) -> Space[Any]:
        return Box(-np.inf, np.inf, (self.task.input_size,))

    @property
    def output_size(self) -> int:
        return self.task.output_size

    @property
    def levels(self) -> Mapping[str, float]:
        known = {"optimum": self.task.optimum, "memoryless": self.task.memoryless}
        return {name: level for name, level in known.items() if math.isfinite(level)}

    def split(self, part: Split = "test") -> "TaskEpisodes":
        return TaskEpisodes(self.task.split(part), self.steps)

    def draw(self, count: int, key: PRNGKeyArray) -> Trajectories:
        _, window = self.task.window(self.task.anywhere(count, key), self.steps)
        return Trajectories(PredictorInputs(window.inputs), window.targets, jnp.ones(window.first.shape, bool))

    def loss(self, output: Any, target: Any) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return self.task.loss(output, target)


def known_steps(given: int | None, known: int | None, of: Any) -> int:
    """Returns the given length of episodes, or by default that of the task or environment."""
    if given is None and known is None:
        raise InputError(f"{type(of).__name__} has episodes of unknown length: give steps.")
    steps = known if given is None else given
    assert steps is not None
    if steps < 1:
        raise InputError(f"steps={given}: give steps >= 1.")
    return steps
