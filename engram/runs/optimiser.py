"""Optimisers from expressions, and the halving of their step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from engram.runs.spec import Spec, call, nearest, parse
from engram.types import InputError

OPTAX = (
    *("adabelief", "adagrad", "adam", "adamax", "adamw", "amsgrad", "lamb", "lion", "radam", "rmsprop", "sgd", "yogi"),
    *("adaptive_grad_clip", "add_decayed_weights", "clip", "clip_by_global_norm"),
    *("constant_schedule", "cosine_decay_schedule", "cosine_onecycle_schedule", "exponential_decay", "linear_schedule"),
    *("polynomial_schedule", "warmup_cosine_decay_schedule"),
)
"""The names of optax that an expression may use, beside `chain`."""


def inverse_sqrt_schedule(init_value: float, rate: float, every: int = 1) -> optax.Schedule:
    """γ / (1 + α √t), where t = `every` · (updates done) counts steps; γ is `init_value`, α is `rate`."""
    return lambda count: init_value / (1 + rate * jnp.sqrt(every * count))


class Plateau(NamedTuple):
    """The state of `halve_on_plateau`: the factor on changes, the least mean loss, and the sum of so many losses since."""

    scale: Float[Array, ""]
    least: Float[Array, ""]
    total: Float[Array, ""]
    losses: Int[Array, ""]


def halve_on_plateau(every: int = 100) -> optax.GradientTransformationExtraArgs:
    """Halves the step whenever the mean loss of `every` updates is not below the least such mean before."""

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


OWN = {made.__name__: made for made in (halve_on_plateau, inverse_sqrt_schedule)}
NAMED = {name: getattr(optax, name) for name in OPTAX} | OWN
"""What an expression may call, beside `chain`."""


def build_optimiser(text: str) -> optax.GradientTransformation:
    """The optimiser that an expression describes, such as `adam(3e-3)` or `chain(clip_by_global_norm(1.0), sgd(0.1))`.

    Its step can be halved. A learning rate may be a schedule, such as `linear_schedule(1e-2, 0.0, 10_000)`, and it may fall
    where the loss does not: `chain(sgd(0.1), halve_on_plateau(100))`.
    """
    return optax.chain(_transformation(parse(text)), halvable())


def _transformation(spec: Any) -> optax.GradientTransformation:
    made = _make(spec) if isinstance(spec, Spec) else spec
    if not isinstance(made, optax.GradientTransformation):
        raise InputError(f"'{spec}' is no optimiser: give one such as adam(3e-3), or a chain of them.")
    return made


def _make(spec: Spec) -> Any:
    if spec.name == "chain":
        if spec.named or not spec.positional:
            raise InputError(f"{spec}: chain takes optimisers one after the other, and nothing by name.")
        return optax.chain(*map(_transformation, spec.positional))
    if spec.name not in NAMED:
        raise InputError(f"There is no optimiser '{spec.name}'. {nearest(spec.name, [*NAMED, 'chain'])}")
    return call(spec, NAMED[spec.name], lambda value: _argument(spec, value), {})


def _argument(spec: Spec, value: Any) -> Any:
    made = _make(value) if isinstance(value, Spec) else value
    if isinstance(made, str | optax.GradientTransformation):
        raise InputError(f"{spec}: an argument is a number, True, False, None or a schedule, and not '{value}'.")
    return made


class Halvings(NamedTuple):
    """The state of `halvable`: what every change is multiplied by."""

    scale: Float[Array, "*seeds"]


def halvable() -> optax.GradientTransformation:
    """Multiplies every change by a factor that begins with 1 and that `halve` halves."""

    def init(params):
        del params
        return Halvings(jnp.ones(()))

    def update(updates, state, params=None):
        del params
        return jax.tree.map(lambda change: change * state.scale.astype(change.dtype), updates), state

    return optax.GradientTransformation(init, update)


def can_be_halved(state: PyTree) -> bool:
    """Whether `halve` has anything to halve."""
    return any(
        isinstance(part, Halvings) for part in jax.tree.leaves(state, is_leaf=lambda part: isinstance(part, Halvings))
    )


def halve(state: PyTree, times: Int[np.ndarray, " seeds"]) -> PyTree:
    """The stacked state of several trials, with the step of each halved so many times."""

    def one(part):
        return Halvings(part.scale * jnp.asarray(0.5**times, part.scale.dtype)) if isinstance(part, Halvings) else part

    return jax.tree.map(one, state, is_leaf=lambda part: isinstance(part, Halvings))
