"""The interface of a learning algorithm, which a run trains."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PRNGKeyArray, PyTree

from farback.step import Metrics, Model
from farback.types import InputError, Outcome, Split, Tally

State = PyTree


class Criterion(NamedTuple):
    """The metric that a run is judged by.

    - `metric`: its name in the log.
    - `minimise`: whether lower is better.
    - `levels`: reference values of the metric by name, such as the optimum.
    """

    metric: str
    minimise: bool
    levels: Mapping[str, float]


class Score(NamedTuple):
    """The criterion of a network on fresh data, that of the best memoryless predictor or policy, and the optimum."""

    score: Any
    memoryless: Any
    optimum: Any

    @property
    def mastery(self) -> Any:
        """The score on a scale from 0, the best memoryless value, to 1, the optimum."""
        return (self.score - self.memoryless) / (self.optimum - self.memoryless)


class Timeline(NamedTuple):
    """One sequence step by step, leading axis time.

    - `first`: whether an episode begins at this step.
    - `cue`: whether the observation holds information that is needed later.
    - `observation`: the network's input.
    - `output`: the network's output, or the action.
    - `memory`: the state of the memory after each step.
    - `metrics`: the metrics of each step, by their names in the log.
    - `world`: the state of the environment, if there is one.
    """

    first: Bool[Array, " time"]
    cue: Bool[Array, " time"]
    observation: PyTree[Array]
    output: PyTree[Array]
    memory: PyTree[Array]
    metrics: Metrics
    world: PyTree[Array] = ()


class AbstractAlgorithm(eqx.Module):
    """A learning algorithm. Its whole state is one pytree: networks, optimizer, carry, source of data, keys."""

    @property
    @abstractmethod
    def steps_per_update(self) -> int:
        """The number of time steps of one update, summed over its sequences."""

    @property
    @abstractmethod
    def criterion(self) -> Criterion:
        """The metric that a run is judged by."""

    @property
    @abstractmethod
    def evaluation_unit(self) -> Literal["steps", "episodes"]:
        """The unit of the amount of data that `evaluate` takes."""

    @property
    @abstractmethod
    def episode_length(self) -> int | None:
        """The number of steps of a window that holds a whole episode; `None` if episodes have no known length."""

    @property
    def acts(self) -> bool:
        """Whether the output of a timeline is an action."""
        return False

    @property
    def vectorize_seeds(self) -> bool:
        """Whether several seeds run as a batch axis rather than one after the other."""
        return True

    @property
    def on_host(self) -> Callable[[State], PyTree[Array]] | None:
        """Selects the arrays of a state that a run keeps on the host, as `HostArrays`. They are zeros in the beginning."""
        return None

    @abstractmethod
    def init(self, key: PRNGKeyArray) -> State:
        """The state before the first update."""

    @abstractmethod
    def update(self, state: State) -> tuple[State, Outcome]:
        """One update."""

    @abstractmethod
    def network_in(self, state: State) -> Model:
        """The network in a state."""

    @abstractmethod
    def evaluate(self, network: Model, key: PRNGKeyArray, amount: int) -> Metrics:
        """The metrics of a network on fresh data, by their names in the log, without learning.

        Tallies have a leading axis: each entry is a part of the data, such as an episode.

        **Arguments:**

        - `amount`: the minimum amount of data, in units of `evaluation_unit`.
        """

    @abstractmethod
    def timeline(self, network: Model, key: PRNGKeyArray, steps: int) -> Timeline:
        """A network on fresh data, step by step."""

    def render_steps(self, timeline: Timeline) -> list[str]:
        """Each step of a timeline as text: the indices of the ones if all numbers are 0 or 1, else the first numbers."""
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(timeline.observation)]
        return [_render(row) for row in np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)]

    def render_images(self, timeline: Timeline) -> Iterator[dict[str, np.ndarray]]:
        """The images of each step of a timeline, by name: those of its observations, which are uint8 with one or three
        channels.
        """
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(timeline.observation)]
        images = [leaf for leaf in leaves if leaf.dtype == np.uint8 and leaf.ndim == 4 and leaf.shape[-1] in (1, 3)]
        names = [f"observation {number}" if len(images) > 1 else "observation" for number in range(1, len(images) + 1)]
        for step in range(len(timeline.first)):
            shown = zip(names, images, strict=True)
            yield {name: np.broadcast_to(image[step], (*image.shape[1:3], 3)) for name, image in shown}

    def split(self, part: Split = "test") -> "AbstractAlgorithm":
        """This algorithm on held-out data. If each key draws new data, it is the algorithm itself."""
        del part
        return self

    def score(self, network: Model, key: PRNGKeyArray, episodes: int, length: int) -> Score | None:
        """The criterion on fresh data next to its reference levels; `None` if these are unknown.

        **Arguments:**

        - `episodes`: the number of episodes.
        - `length`: the number of steps that count as an episode if the task has no episode length.
        """
        metric, _, levels = self.criterion
        if not {"optimum", "memoryless"} <= set(levels):
            return None
        amount = episodes if self.evaluation_unit == "episodes" else episodes * (self.episode_length or length)
        return Score(summed(self.evaluate(network, key, amount)[metric]).mean, levels["memoryless"], levels["optimum"])

    @eqx.filter_jit
    def train(self, state: State, updates: int) -> tuple[State, Outcome]:
        """Many updates in one compiled program; outcomes are stacked."""
        dynamic, static = eqx.partition(state, eqx.is_array)

        def one(dynamic, _):
            state, outcome = self.update(eqx.combine(dynamic, static))
            return eqx.filter(state, eqx.is_array), outcome

        dynamic, outcomes = jax.lax.scan(one, dynamic, None, updates)
        return eqx.combine(dynamic, static), outcomes


def logged(outcome: Outcome) -> Metrics:
    """The metrics of an update by their names in the log, the loss among them."""
    loss = Tally(outcome.loss, jnp.ones_like(outcome.loss))
    return {"losses/loss": loss} | log_names(outcome.metrics)


def log_names(metrics: Metrics) -> Metrics:
    """Metrics by their names in the log: a name without a section is a chart."""
    return {name if "/" in name else f"charts/{name}": tally for name, tally in metrics.items()}


def summed(metrics: Any) -> Any:
    """Tallies summed over all of their axes."""
    return jax.tree.map(jnp.sum, metrics)


def require_positive(algorithm: AbstractAlgorithm, *names: str) -> None:
    """Refuses whole numbers below 1."""
    for name in names:
        if getattr(algorithm, name) < 1:
            raise InputError(f"{type(algorithm).__name__}({name}={getattr(algorithm, name)}): give {name} >= 1.")


def _render(observation: np.ndarray) -> str:
    if np.isin(observation, (0, 1)).all():
        return ",".join(map(str, np.flatnonzero(observation))) or "·"
    return " ".join(f"{value:.2g}" for value in observation[:4]) + (" …" if len(observation) > 4 else "")
