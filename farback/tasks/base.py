"""The interface of a task: a stream of steps, and the loss of an output."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from farback.types import InputError, Split, Tally, Window

Source = PyTree[Array]


class AbstractTask(eqx.Module):
    """A supervised task, generated step by step in the compiled program.

    A task states known levels of its loss, averaged over all steps: `optimum`, the expected loss of the best predictor,
    and `memoryless`, that of the best predictor from the present step only. NaN means that the level is unknown. Some
    tasks also state `blind`, the expected loss of the best predictor that uses its position in the sequence but not the
    data: a network whose memory is too short reaches this level, and papers often call it memoryless.
    """

    @property
    @abstractmethod
    def input_size(self) -> int:
        """The number of inputs."""

    @property
    @abstractmethod
    def output_size(self) -> int:
        """The number of outputs."""

    @property
    def episode_length(self) -> int | None:
        """The number of steps of an episode, if all episodes have the same length and follow each other; else None."""
        return None

    @property
    @abstractmethod
    def optimum(self) -> float:
        """The expected loss of the best predictor."""

    @property
    @abstractmethod
    def memoryless(self) -> float:
        """The expected loss of the best predictor without memory."""

    @abstractmethod
    def begin(self, key: PRNGKeyArray) -> Source:
        """The source of one endless sequence: the state that `emit` draws its steps from."""

    @abstractmethod
    def emit(self, source: Source) -> tuple[Source, Window]:
        """Returns (source, step): the next step of a sequence, and the source after it."""

    @abstractmethod
    def loss(self, output: Any, targets: Any) -> tuple[Float[Array, ""], dict[str, Tally]]:
        """Returns (loss, metrics) of the output of one step."""

    def split(self, part: Split = "test") -> "AbstractTask":
        """This task on held-out data. A generated task returns itself, as each key draws new data."""
        del part
        return self

    def sources(self, batch: int, key: PRNGKeyArray) -> Source:
        """The sources of a batch of sequences."""
        return jax.vmap(self.begin)(jax.random.split(key, batch))

    def anywhere(self, batch: int, key: PRNGKeyArray) -> Source:
        """The same as `sources`, but at random places of the data instead of fixed ones."""
        return self.sources(batch, key)

    def window(self, sources: Source, length: int) -> tuple[Source, Window]:
        """The next `length` steps of each sequence, axes `[batch, time]`."""

        def one(source):
            return jax.lax.scan(lambda source, _: self.emit(source), source, None, length)

        return jax.vmap(one)(sources)

    def windows(self, length: int, batch: int, *, key: PRNGKeyArray) -> Iterator[Window]:
        """Endless consecutive windows of a batch of sequences."""
        for name, value in (("length", length), ("batch", batch)):
            if value < 1:
                raise InputError(f"{name}={value}: a window has at least 1 step of 1 sequence; give {name} >= 1.")
        sources = self.sources(batch, key)
        draw = eqx.filter_jit(lambda task, sources: task.window(sources, length))
        while True:
            sources, window = draw(self, sources)
            yield window


class Question(NamedTuple):
    """The target of a step: the label, and the weight of the loss (1 or 0)."""

    label: Int[Array, ""]
    weight: Float[Array, ""]


def classification(
    logits: Float[Array, " classes"], label: Int[Array, ""], weight: Float[Array, ""]
) -> tuple[Float[Array, ""], dict[str, Tally]]:
    """Returns (loss, metrics): the cross-entropy in nats times the weight, and the accuracy over the weighted steps."""
    loss = weight * optax.softmax_cross_entropy_with_integer_labels(logits, label)
    correct = weight * (jnp.argmax(logits) == label).astype(weight.dtype)
    return loss, {"accuracy": Tally(correct, weight)}


def regression(
    output: Float[Array, " size"], target: Float[Array, " size"], weight: Float[Array, ""]
) -> tuple[Float[Array, ""], dict[str, Tally]]:
    """Returns (loss, metrics): ‖output − target‖² times the weight, and its mean over the weighted steps."""
    loss = weight * jnp.sum((output - target) ** 2)
    return loss, {"squared_error": Tally(loss, weight)}
