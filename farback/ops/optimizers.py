"""Optimizers: their interface, one step, and transformations that optax lacks."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from farback.types import Number, Tally


class AbstractOptimizer(eqx.Module):
    """An optax optimizer whose numbers are leaves of a pytree: a new learning rate needs no new compilation."""

    @property
    @abstractmethod
    def transformation(self) -> optax.GradientTransformation:
        """The optimizer as an optax transformation."""

    def init(self, parameters: PyTree) -> PyTree:
        """The state before the first step."""
        return self.transformation.init(parameters)

    @abstractmethod
    def learning_rate(self, updates: Any) -> Float[Array, ""]:
        """The learning rate after a number of updates; NaN where the optimizer has none."""


Optimizer = AbstractOptimizer | optax.GradientTransformation


def descend(
    optimizer: Optimizer, model: PyTree, state: PyTree, gradient: PyTree, loss: Float[Array, ""]
) -> tuple[PyTree, PyTree]:
    """Returns (model, state) after one step, which may depend on the loss, as in `halve_on_plateau`."""
    transformation = optimizer.transformation if isinstance(optimizer, AbstractOptimizer) else optimizer
    parameters = eqx.filter(model, eqx.is_inexact_array)
    changes, state = optax.with_extra_args_support(transformation).update(gradient, state, parameters, value=loss)
    return eqx.apply_updates(model, changes), state


def init_each(optimizers: Sequence[Optimizer], models: Sequence[PyTree]) -> tuple[PyTree, ...]:
    """The states of several optimizers, each of a part of a model."""
    each = zip(optimizers, models, strict=True)
    return tuple(optimizer.init(eqx.filter(model, eqx.is_inexact_array)) for optimizer, model in each)


def descend_each(
    optimizers: Sequence[Optimizer],
    models: Sequence[PyTree],
    states: Sequence[PyTree],
    gradients: Sequence[PyTree],
    loss: Float[Array, ""],
) -> tuple[tuple[Any, ...], tuple[PyTree, ...]]:
    """Returns (models, states) after one step of several optimizers, each of a part of a model."""
    each = zip(optimizers, models, states, gradients, strict=True)
    models, states = zip(*(descend(*parts, loss) for parts in each), strict=True)
    return models, states


def descent_metrics(optimizer: Optimizer, gradient: PyTree, updates: Any) -> dict[str, Tally]:
    """The norm of a gradient, and the learning rate of its step if the optimizer states it."""
    norm = optax.tree.norm(gradient)
    metrics = {"losses/grad_norm": Tally(norm, jnp.ones_like(norm))}
    if isinstance(optimizer, AbstractOptimizer):
        rate = optimizer.learning_rate(updates)
        known = jnp.isfinite(rate)
        metrics["charts/learning_rate"] = Tally(jnp.where(known, rate, 0), known.astype(rate.dtype))
    return metrics


def inverse_sqrt_schedule(init_value: Number, rate: float, every: int = 1) -> optax.Schedule:
    """γ / (1 + α √t), where t = `every` · (updates done) counts steps; γ is `init_value`, α is `rate`."""
    return lambda count: init_value / (1 + rate * jnp.sqrt(every * count))


class Plateau(NamedTuple):
    """The state of `halve_on_plateau`: the factor on changes, the least mean loss, the sum and number of losses since."""

    scale: Float[Array, ""]
    least: Float[Array, ""]
    total: Float[Array, ""]
    losses: Int[Array, ""]


def halve_on_plateau(every: int = 100) -> optax.GradientTransformationExtraArgs:
    """Halves the step whenever the mean loss of `every` updates is not below the least earlier one."""

    def init(params):
        del params
        return Plateau(jnp.ones(()), jnp.asarray(jnp.finfo(jnp.result_type(float)).max), jnp.zeros(()), jnp.zeros((), int))

    def update(updates, state, params=None, **seen):
        del params
        total, losses = state.total + seen["value"].astype(state.total.dtype), state.losses + 1
        full, mean = losses == every, total / every
        scale = jnp.where(full & (mean >= state.least), state.scale / 2, state.scale)
        least = jnp.where(full, jnp.minimum(mean, state.least), state.least)
        updates = jax.tree.map(lambda change: change * scale.astype(change.dtype), updates)
        return updates, Plateau(scale, least, jnp.where(full, 0, total), jnp.where(full, 0, losses))

    return optax.GradientTransformationExtraArgs(init, update)


class Halvings(NamedTuple):
    """The state of `halvable`: the factor on every change."""

    scale: Float[Array, "*seeds"]


def halvable() -> optax.GradientTransformation:
    """Multiplies every change by a factor, initially 1, which `halve` halves."""

    def init(params):
        del params
        return Halvings(jnp.ones(()))

    def update(updates, state, params=None):
        del params
        return jax.tree.map(lambda change: change * state.scale.astype(change.dtype), updates), state

    return optax.GradientTransformation(init, update)


class RMSpropInTime(AbstractOptimizer):
    """RMSprop in physical time: both of its rates are per second.

        ν ← (1 − δt) ν + δt g²,      change = −α δt g / (√ν + 10⁻⁸)

    **Arguments:**

    - `rate`: α.
    - `dt`: δt, the seconds of one step, below 1.

    Reference: Tallec, Blier and Ollivier, *Making deep Q-learning methods robust to time discretization*, ICML 2019.
    """

    rate: Number
    dt: Number

    @property
    def transformation(self) -> optax.GradientTransformation:
        rmsprop = optax.rmsprop(self.rate * self.dt, decay=1 - self.dt, eps=1e-8, eps_in_sqrt=False)
        return optax.chain(rmsprop, halvable())

    def learning_rate(self, updates: Any) -> Float[Array, ""]:
        del updates
        return jnp.asarray(self.rate * self.dt)


def can_be_halved(state: PyTree) -> bool:
    """Whether a state holds a factor for `halve`."""
    return any(
        isinstance(part, Halvings) for part in jax.tree.leaves(state, is_leaf=lambda part: isinstance(part, Halvings))
    )


def halve(state: PyTree, times: Int[np.ndarray, " seeds"]) -> PyTree:
    """The stacked state of several seeds, with the step size of each halved `times` times."""

    def one(part):
        return Halvings(part.scale * jnp.asarray(0.5**times, part.scale.dtype)) if isinstance(part, Halvings) else part

    return jax.tree.map(one, state, is_leaf=lambda part: isinstance(part, Halvings))
