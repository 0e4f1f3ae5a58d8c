"""Optimizers from expressions such as `chain(clip_by_global_norm(1.0), adam(3e-3))`."""

import inspect
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from farback.ops.optimizers import AbstractOptimizer, halvable, halve_on_plateau, inverse_sqrt_schedule
from farback.runs.expressions import Spec, call, nearest, parse
from farback.types import InputError

OPTAX = (
    *("adabelief", "adagrad", "adam", "adamax", "adamw", "amsgrad", "lamb", "lion", "radam", "rmsprop", "sgd", "yogi"),
    *("adaptive_grad_clip", "add_decayed_weights", "clip", "clip_by_global_norm"),
    *("constant_schedule", "cosine_decay_schedule", "cosine_onecycle_schedule", "exponential_decay", "linear_schedule"),
    *("polynomial_schedule", "warmup_cosine_decay_schedule"),
)
"""The functions of optax that an expression may call, beside `chain`."""
OWN = {made.__name__: made for made in (halve_on_plateau, inverse_sqrt_schedule)}
NAMED = {name: getattr(optax, name) for name in OPTAX} | OWN
"""The functions that an expression may call, beside `chain`, by name."""
LEAVES = {"learning_rate", "init_value", "peak_value", "end_value", "max_norm"}
"""The arguments whose numbers are leaves of the optimizer: a new value does not recompile the program."""


class Leaf(NamedTuple):
    """A number of an expression, by its place among the leaves."""

    place: int


class OptimizerExpression(AbstractOptimizer):
    """The optimizer that an expression describes. Its step can be halved, by `farback.ops.optimizers.halve`.

    A learning rate may be a schedule, such as `linear_schedule(1e-2, 0.0, 10_000)`.
    `chain(sgd(0.1), halve_on_plateau(100))` halves the step when the loss stops falling.

    **Arguments:**

    - `text`: the expression.
    """

    spec: Spec = eqx.field(static=True)
    numbers: tuple[Any, ...]

    def __init__(self, text: str):
        numbers: list[float] = []
        self.spec = _with_leaves(parse(text), numbers)
        self.numbers = tuple(numbers)
        self.transformation  # noqa: B018 — raises if the expression is wrong

    @property
    def transformation(self) -> optax.GradientTransformation:
        return optax.chain(self._transformation(self.spec), halvable())

    def learning_rate(self, updates: Any) -> Float[Array, ""]:
        rate = self._rate(self.spec)
        return jnp.asarray(jnp.nan if rate is None else rate(updates) if callable(rate) else rate, float)

    def _transformation(self, spec: Any) -> optax.GradientTransformation:
        made = self._make(spec) if isinstance(spec, Spec) else spec
        if not isinstance(made, optax.GradientTransformation):
            raise InputError(f"'{spec}' is not an optimizer: give one such as adam(3e-3), or a chain of them.")
        return made

    def _make(self, spec: Spec) -> Any:
        if spec.name == "chain":
            if spec.named or not spec.positional:
                raise InputError(f"{spec}: chain has no named arguments; give one optimizer or more by position.")
            return optax.chain(*map(self._transformation, spec.positional))
        if spec.name not in NAMED:
            raise InputError(f"There is no optimizer '{spec.name}'. {nearest(spec.name, [*NAMED, 'chain'])}")
        return call(spec, NAMED[spec.name], lambda value, _: self._argument(spec, value), {})

    def _argument(self, spec: Spec, value: Any) -> Any:
        if isinstance(value, Leaf):
            return self.numbers[value.place]
        made = self._make(value) if isinstance(value, Spec) else value
        if isinstance(made, str | optax.GradientTransformation):
            raise InputError(f"{spec}: '{value}' cannot be an argument; give a number, True, False, None or a schedule.")
        return made

    def _rate(self, spec: Any) -> Any:
        """Returns the first learning rate in an expression, a number or a schedule; `None` if there is none."""
        if not isinstance(spec, Spec):
            return None
        if spec.name == "chain":
            return next((rate for part in spec.positional if (rate := self._rate(part)) is not None), None)
        value = _bound(spec).get("learning_rate")
        return None if value is None else self._argument(spec, value)


def with_learning_rate(text: str, rate: str) -> str:
    """Returns an optimizer expression with another learning rate, a number or a schedule."""
    OptimizerExpression(text)  # raises if the expression is wrong
    value, places = _number_or_spec(rate), []

    def replaced(spec: Any) -> Any:
        if not isinstance(spec, Spec):
            return spec
        if spec.name == "chain":
            return spec._replace(positional=tuple(map(replaced, spec.positional)))
        if "learning_rate" not in _parameters(spec):
            return spec
        places.append(spec)
        bound = {name: given for name, given in _bound(spec).items() if name != "learning_rate"}
        return Spec(spec.name, (value,), tuple(bound.items()))

    found = replaced(parse(text))
    if not places:
        raise InputError(f"'{text}' has no learning rate to change: give an optimizer such as adam(3e-3).")
    return str(found)


def _number_or_spec(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return parse(text)


def _parameters(spec: Spec) -> list[str]:
    return list(inspect.signature(NAMED[spec.name]).parameters) if spec.name in NAMED else []


def _bound(spec: Spec) -> dict[str, Any]:
    """Returns the arguments of an expression by name."""
    return dict(zip(_parameters(spec), spec.positional, strict=False)) | dict(spec.named)


def _with_leaves(spec: Any, numbers: list[float]) -> Any:
    """Returns an expression with a `Leaf` in place of each number that may change, and appends those numbers."""
    if not isinstance(spec, Spec):
        return spec
    bound = _bound(spec)

    def leaf(name, value):
        if name in LEAVES and isinstance(value, float | int) and not isinstance(value, bool):
            numbers.append(float(value))
            return Leaf(len(numbers) - 1)
        return _with_leaves(value, numbers)

    if len(bound) < len(spec.positional) + len(spec.named):  # a chain, or an expression that will be refused
        return spec._replace(positional=tuple(_with_leaves(value, numbers) for value in spec.positional))
    return Spec(spec.name, (), tuple((name, leaf(name, value)) for name, value in bound.items()))
