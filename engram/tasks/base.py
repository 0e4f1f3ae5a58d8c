"""What a task is: a source of steps, and how an output is charged."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from engram.types import InputError, Tally, Window

Source = PyTree[Array]
Part = Literal["validation", "test"]
"""What training never sees, of tasks that stand on data."""


class AbstractTask(eqx.Module):
    """A supervised task, generated step by step inside the compiled program.

    A task states what can be hoped for, in the unit of its loss and averaged over all steps: `optimum`, the expected loss
    of the best predictor, and `memoryless`, that of the best one that sees the present step alone. NaN means that nobody
    knows: it is shown nowhere. Where it tells what is learnt first, a task also states `blind`, the expected loss of the
    best predictor that always knows its place, and never what it was shown: learners whose memory is too short stay there,
    and papers often call this line memoryless.
    """

    @property
    @abstractmethod
    def input_size(self) -> int:
        """The number of inputs."""

    @property
    @abstractmethod
    def output_size(self) -> int:
        """The number of outputs that the model is to give."""

    @property
    def steps(self) -> int | None:
        """The steps of an episode, where all have as many and each begins where the one before it ends."""
        return None

    @property
    @abstractmethod
    def optimum(self) -> float:
        """The expected loss of the best predictor."""

    @property
    @abstractmethod
    def memoryless(self) -> float:
        """The expected loss of the best predictor that has no memory."""

    @abstractmethod
    def begin(self, key: PRNGKeyArray) -> Source:
        """A source of one endless sequence."""

    @abstractmethod
    def emit(self, source: Source) -> tuple[Source, Window]:
        """The next step of a sequence."""

    @abstractmethod
    def loss(self, output: Any, targets: Any) -> tuple[Float[Array, ""], dict[str, Tally]]:
        """What one step's output is charged, and what else is worth knowing about it."""

    def held_out(self, part: Part = "test") -> "AbstractTask":
        """This task on data that training never sees: by default itself, for it draws afresh from every key."""
        del part
        return self

    def sources(self, batch: int, key: PRNGKeyArray) -> Source:
        """The sources of a batch of sequences."""
        return jax.vmap(self.begin)(jax.random.split(key, batch))

    def anywhere(self, batch: int, key: PRNGKeyArray) -> Source:
        """The sources of sequences that begin elsewhere with each key, where those of a batch begin at the same places."""
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
                raise InputError(f"{name}={value}: a window has 1 step of 1 sequence at least; give {name} >= 1.")
        sources = self.sources(batch, key)
        draw = eqx.filter_jit(lambda task, sources: task.window(sources, length))
        while True:
            sources, window = draw(self, sources)
            yield window


class Question(NamedTuple):
    """What is asked at a step: the label, and whether it counts (1 or 0)."""

    label: Int[Array, ""]
    weight: Float[Array, ""]


def classification(
    logits: Float[Array, " classes"], label: Int[Array, ""], weight: Float[Array, ""]
) -> tuple[Float[Array, ""], dict[str, Tally]]:
    """Cross-entropy in nats, and the accuracy over the steps that are charged."""
    loss = weight * optax.softmax_cross_entropy_with_integer_labels(logits, label)
    correct = weight * (jnp.argmax(logits) == label).astype(weight.dtype)
    return loss, {"accuracy": Tally(correct, weight)}


def regression(
    output: Float[Array, " size"], target: Float[Array, " size"], weight: Float[Array, ""]
) -> tuple[Float[Array, ""], dict[str, Tally]]:
    """The squared error ‖output − target‖², and its mean over the steps that are charged."""
    loss = weight * jnp.sum((output - target) ** 2)
    return loss, {"squared_error": Tally(loss, weight)}
