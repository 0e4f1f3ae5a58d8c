"""How surprising the steps of an episode are."""

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from engram.descent import descend
from engram.objectives.episodes import AbstractEpisodes, Recording
from engram.objectives.quantiles import quantile_loss
from engram.step import Metrics
from engram.types import InputError

GONE_THROUGH = 64
"""The most steps of episodes that are gone through at once."""


class Errors(NamedTuple):
    """What a model says of the steps of episodes.

    - `error`: what it is charged for each, 0 at those that do not count.
    - `context`: what surrounds each.
    - `metrics`: of all together.
    """

    error: Float[Array, "batch time"]
    context: Any
    metrics: Metrics


def gone_through(episodes: AbstractEpisodes, model: PyTree, recording: Recording) -> Errors:
    """Runs a `Foresight` through episodes, of which no more than `GONE_THROUGH` steps are stored at once."""
    batch, steps = recording.counts.shape
    count = -(-steps // GONE_THROUGH)
    size = -(-steps // count)  # so that less is padded
    whole = count * size
    turned = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), recording)
    padded = jax.tree.map(lambda leaf: jnp.pad(leaf, [(0, whole - steps)] + [(0, 0)] * (leaf.ndim - 1)), turned)
    parts = jax.tree.map(lambda leaf: leaf.reshape(count, size, *leaf.shape[1:]), padded)

    def part(state, now):
        first = jnp.zeros(now.counts.shape, bool)
        state, (remembered, context) = model.known(state, first, now.told, jnp.ones(first.shape))

        def charge(remembered, context, asked, target, counts):
            error, metrics = episodes.loss(model.head(remembered, context, asked), target)
            return jax.tree.map(lambda leaf: jnp.where(counts, leaf, 0), (error, metrics))

        error, metrics = jax.vmap(jax.vmap(charge))(remembered, context, now.told.asked, now.targets, now.counts)
        return state, ((error, context), jax.tree.map(jnp.sum, metrics))

    start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), model.initial())
    _, (found, metrics) = jax.lax.scan(part, start, parts)
    error, context = jax.tree.map(lambda leaf: jnp.swapaxes(leaf.reshape(whole, *leaf.shape[2:])[:steps], 0, 1), found)
    return Errors(error, context, jax.tree.map(jnp.sum, metrics))


class AbstractDetector(eqx.Module):
    """Says how surprising what came of a step is to who knows what is near, and learns to."""

    @abstractmethod
    def init(self, episodes: AbstractEpisodes, model: PyTree, key: PRNGKeyArray) -> PyTree:
        """What it knows at first."""

    @abstractmethod
    def observer(self, known: PyTree, model: PyTree) -> PyTree:
        """The model that goes through episodes."""

    @abstractmethod
    def surprise(self, known: PyTree, recording: Recording, errors: Errors) -> Float[Array, "batch time"]:
        """How surprising the steps of episodes are, in which the observer made these errors."""

    @abstractmethod
    def study(self, known: PyTree, recording: Recording, key: PRNGKeyArray) -> PyTree:
        """What it knows after it has seen episodes."""

    @abstractmethod
    def follow(self, known: PyTree, model: PyTree) -> PyTree:
        """What it knows after an update of the model."""


class Slow(AbstractDetector):
    """The error of a model that follows the one in training,

        θ′ ← d θ′ + (1 − d) θ      after each update,

    for a model that has just learnt of a step would no longer be surprised there.

    **Arguments:**

    - `decay`: d. With 0, the error is that of the model itself.

    Reference: Sorokin et al., *Explain my surprise*, NeurIPS 2022: the authors' code, with d = 0.995.
    """

    decay: float = 0.995

    def __check_init__(self):
        if not 0 <= self.decay < 1:
            raise InputError(f"Slow(decay={self.decay}): give 0, for the model itself, or more, below 1.")

    def init(self, episodes: AbstractEpisodes, model: PyTree, key: PRNGKeyArray) -> PyTree:
        del episodes, key
        return eqx.filter(model, eqx.is_inexact_array) if self.decay else None

    def observer(self, known: PyTree, model: PyTree) -> PyTree:
        return eqx.combine(known, model) if self.decay else model

    def surprise(self, known: PyTree, recording: Recording, errors: Errors) -> Float[Array, "batch time"]:
        del known, recording
        return errors.error

    def study(self, known: PyTree, recording: Recording, key: PRNGKeyArray) -> PyTree:
        del recording, key
        return known

    def follow(self, known: PyTree, model: PyTree) -> PyTree:
        if not self.decay:
            return None
        now = eqx.filter(model, eqx.is_inexact_array)
        return jax.tree.map(lambda old, new: old + (1 - self.decay) * (new - old), known, now)


class Studied(NamedTuple):
    """A network that tells quantiles of what comes of a step from what is asked there, and its optimiser's state."""

    network: eqx.nn.MLP
    optimiser: PyTree


class Spread(AbstractDetector):
    """How far apart the things are that may come of a step, as told by what is asked there alone: the deviation of N
    quantiles, which a network learns by regression from the steps of each pass.

    For what comes in numbers, such as returns. Unlike an error, it is as large where the likelier thing came; and unlike
    that of a model that remembers, it does not fall as the memory learns.

    **Arguments:**

    - `quantiles`: N.
    - `units`: of each of the network's two layers.
    - `rate`: of Adam.
    - `updates`, `batch`: how often it learns in a pass, and from how many steps.

    Reference: Dabney, Rowland, Bellemare and Munos, *Distributional reinforcement learning with quantile regression*, AAAI
    2018; in MemUP's ViZDoom, the agent's own quantiles.
    """

    quantiles: int = 32
    units: int = 64
    rate: float = 1e-3
    updates: int = 20
    batch: int = 1024

    def __check_init__(self):
        for name in ("quantiles", "units", "updates", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"Spread({name}={getattr(self, name)}): give 1 at least.")

    @property
    def _adam(self) -> optax.GradientTransformation:
        return optax.adam(self.rate)

    def init(self, episodes: AbstractEpisodes, model: PyTree, key: PRNGKeyArray) -> Studied:
        del model
        target = jax.eval_shape(lambda: episodes.draw(1, key).targets)
        if (
            not isinstance(target, jax.ShapeDtypeStruct)
            or target.ndim != 2
            or not jnp.issubdtype(target.dtype, jnp.inexact)
        ):
            raise InputError(
                f"Spread is of numbers, such as returns, but {type(episodes).__name__} asks for something else: take the "
                f"detector Slow()."
            )
        network = eqx.nn.MLP(episodes.sizes[1], self.quantiles, self.units, 2, key=key)
        return Studied(network, self._adam.init(eqx.filter(network, eqx.is_inexact_array)))

    def observer(self, known: Studied, model: PyTree) -> PyTree:
        del known
        return model

    def surprise(self, known: Studied, recording: Recording, errors: Errors) -> Float[Array, "batch time"]:
        del errors
        found = jax.vmap(lambda asked: jnp.std(jax.vmap(known.network)(asked), axis=1))(recording.told.asked)
        return jnp.where(recording.counts, found, 0)

    def study(self, known: Studied, recording: Recording, key: PRNGKeyArray) -> Studied:
        counts = recording.counts.reshape(-1)
        asked, target = jax.tree.map(
            lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (recording.told.asked, recording.targets)
        )
        chances = counts / jnp.maximum(counts.sum(), 1)
        static = eqx.filter(known, eqx.is_array, inverse=True)

        def loss(network, chosen):
            each = jax.vmap(lambda asked, target: quantile_loss(network(asked), target[None]))(
                asked[chosen], target[chosen]
            )
            return jnp.mean(each)

        def one(arrays, key):
            network, optimiser = eqx.combine(arrays, static)
            chosen = jax.random.choice(key, len(counts), (self.batch,), p=chances)
            cost, gradient = eqx.filter_value_and_grad(loss)(network, chosen)
            return eqx.filter(Studied(*descend(self._adam, network, optimiser, gradient, cost)), eqx.is_array), None

        arrays, _ = jax.lax.scan(one, eqx.filter(known, eqx.is_array), jax.random.split(key, self.updates))
        return eqx.combine(arrays, static)

    def follow(self, known: Studied, model: PyTree) -> Studied:
        del model
        return known
