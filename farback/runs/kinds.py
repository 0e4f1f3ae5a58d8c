"""The names of expressions: each kind of argument has the namespaces in which its names are looked up."""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from farback import agents, cells, encoders, envs, estimators, memup, strategies, tasks
from farback.agents import AbstractExploration, AbstractOnPolicyAgent, AbstractPsi
from farback.cell import AbstractCell, output_size
from farback.cells import initialisers
from farback.cells.initialisers import AbstractGates, AbstractWeights
from farback.encoders import features_size
from farback.envs import AbstractEnv
from farback.estimators import AbstractEstimator
from farback.memup import AbstractDetector, AbstractEpisodeSource, AbstractTargetSelector
from farback.network import AbstractEncoder
from farback.ops import schedules
from farback.ops.schedules import LinearSchedule
from farback.runs.expressions import SUPPLIED, Spec, call, nearest, parse, parse_all
from farback.strategies import AbstractStrategy
from farback.tasks import AbstractTask
from farback.types import InputError

KINDS: dict[type, tuple[Any, ...]] = {
    AbstractTask: (tasks, strategies),
    AbstractEnv: (envs,),
    AbstractEpisodeSource: (memup,),
    AbstractCell: (cells,),
    AbstractEncoder: (encoders,),
    AbstractEstimator: (estimators,),
    AbstractOnPolicyAgent: (agents,),
    AbstractPsi: (agents,),
    AbstractExploration: (agents,),
    AbstractTargetSelector: (memup,),
    AbstractDetector: (memup,),
    AbstractStrategy: (strategies,),
    AbstractWeights: (initialisers,),
    AbstractGates: (initialisers,),
    LinearSchedule: (schedules,),
}
"""The kinds of arguments, each with its namespaces."""

WITHOUT_EXPRESSION = (cells.Stateless, memup.PolicyEpisodes)
"""Classes with arguments that no expression can give, such as functions."""

OF_ALGORITHM = {"env", "network", "estimator", "optimizer", "num_envs", "window"}
"""Arguments of an agent inside another algorithm, which supplies them."""

PRETRAINED = "Pretrained"
"""The name of an expression that takes another run's network, or a part of it."""

Load = Callable[[Spec], Any]
"""Returns the part of a network that a `Pretrained(...)` expression names."""


@functools.cache
def names(kind: type) -> Mapping[str, type]:
    """Returns the classes that an expression of a kind may name."""
    found = {name: value for space in KINDS[kind] for name, value in vars(space).items() if inspect.isclass(value)}
    return {
        name: value
        for name, value in sorted(found.items())
        if issubclass(value, kind) and not inspect.isabstract(value) and value not in WITHOUT_EXPRESSION
    }


def build(text: str, kind: type, load: Load | None = None) -> Any:
    """Returns the object of a kind that an expression describes.

    **Arguments:**

    - `load`: returns the part that a `Pretrained(...)` expression names.
    """
    spec = parse(text)
    return _make(spec, kind, loaded(spec, load))


def build_all(text: str, kind: type) -> list[Any]:
    """Returns the objects that expressions separated by commas describe."""
    return [_make(spec, kind, loaded(spec, None)) for spec in parse_all(text)]


def hidden(kind: type) -> set[str]:
    """Returns the arguments that an expression of a kind must not give."""
    return SUPPLIED | OF_ALGORITHM if kind is AbstractOnPolicyAgent else SUPPLIED


def constructor(spec: Spec, kind: type) -> type:
    """Returns the class that an expression of a kind names."""
    if spec.name in names(kind):
        return names(kind)[spec.name]
    word = kind.__name__.removeprefix("Abstract")
    if any(spec.name in names(other) for other in KINDS if other is not kind):
        raise InputError(f"'{spec}' is not of the kind {word}: give one of {', '.join(names(kind))}.")
    raise InputError(f"There is no {word} '{spec.name}'. {nearest(spec.name, names(kind))}")


def kind_of(annotation: Any) -> type | None:
    """Returns the kind that an annotation names: a kind, a function that returns one, or a union that contains one."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return next((kind for option in typing.get_args(annotation) if (kind := kind_of(option))), None)
    if typing.get_origin(annotation) is not None:  # the type that a callable returns
        return kind_of(typing.get_args(annotation)[-1]) if typing.get_args(annotation) else None
    if not inspect.isclass(annotation):
        return None
    return next((kind for kind in KINDS if issubclass(annotation, kind)), None)


class CellExpression(eqx.Module):
    """Makes the cell that an expression describes, by `cell(input_size, key=key)`.

    The input size of a layer of a `Chain` is the output size of the layer before it.

    **Arguments:**

    - `text`: the expression, such as `Chain(MLP(64), LSTM(64))`.
    - `load`: returns the part that a `Pretrained(...)` expression names.
    """

    spec: Spec = eqx.field(static=True)
    loaded: dict[str, Any]
    before: Any

    def __init__(self, text: str, load: Load | None = None):
        self.spec = parse(text)
        self.loaded = loaded(self.spec, load)
        check_names(self.spec, AbstractCell)
        known = self.spec.name == PRETRAINED and isinstance(self.loaded[str(self.spec)], AbstractCell)
        self.before = load(part_of(self.spec, "encoder")) if load and known else None

    def __call__(self, input_size: int, *, key: PRNGKeyArray) -> AbstractCell:
        return _cell(self.spec, input_size, key, self.loaded)

    def encoder(self, space: Any) -> Any:
        """The encoder that a pretrained memory was trained with; `None` if the cell is not one."""
        if self.before is None:
            return None
        return fitting_encoder(self.spec, self.before, space)


class EncoderExpression(eqx.Module):
    """Makes the encoder that an expression describes, by `encoder(space, key=key)`.

    **Arguments:**

    - `text`: the expression, such as `Conv()`.
    - `load`: returns the part that a `Pretrained(...)` expression names.
    """

    spec: Spec = eqx.field(static=True)
    loaded: dict[str, Any]

    def __init__(self, text: str, load: Load | None = None):
        self.spec = parse(text)
        self.loaded = loaded(self.spec, load)
        check_names(self.spec, AbstractEncoder)

    def __call__(self, space: Any, *, key: PRNGKeyArray) -> Any:
        return _encoder(self.spec, space, key, self.loaded)


def agent_expression(text: str) -> Callable[..., AbstractOnPolicyAgent]:
    """Returns a function that makes the agent of an expression from the arguments that another algorithm supplies."""
    spec, kind = parse(text), AbstractOnPolicyAgent
    value = functools.partial(_value, loaded=loaded(spec, None))
    return call(spec, constructor(spec, kind), value, {}, hidden(kind), partial=True)


def loaded(spec: Spec, load: Load | None) -> dict[str, Any]:
    """Returns the parts of other networks that an expression names, by their own expressions."""
    if spec.name == PRETRAINED:
        if load is None:
            raise InputError(
                f"{spec} is not allowed here: give it as a cell, an encoder or a memory, or to ReturnSpreadDetector."
            )
        return {str(spec): load(spec)}
    values = [*spec.positional, *(value for _, value in spec.named)]
    return {name: part for value in values if isinstance(value, Spec) for name, part in loaded(value, load).items()}


def part_of(spec: Spec, part: str) -> Spec:
    """The expression of another part of the same pretrained network."""
    named = {**dict(zip(("directory", "part", "seed", "frozen"), spec.positional, strict=False)), **dict(spec.named)}
    return Spec(PRETRAINED, (), tuple((named | {"part": part}).items()))


def check_names(spec: Spec, kind: type) -> None:
    """Refuses an expression with an unknown name, before anything is made."""
    if spec.name == PRETRAINED:
        return
    parameters = inspect.signature(constructor(spec, kind)).parameters
    if spec.name in ("Chain", "Parallel") and kind is AbstractCell:
        for part in spec.positional:
            if not isinstance(part, Spec):
                raise InputError(f"{spec}: {part!r} is not a cell; give an expression such as GRU(64).")
            check_names(part, kind)
    for name, value in spec.named:
        if isinstance(value, Spec) and name in parameters and kind_of(parameters[name].annotation) is AbstractCell:
            check_names(value, AbstractCell)


def _make(spec: Spec, kind: type, loaded: Mapping[str, Any]) -> Any:
    return call(spec, constructor(spec, kind), functools.partial(_value, loaded=loaded), {}, hidden(kind))


def _value(value: Any, annotation: Any, *, loaded: Mapping[str, Any]) -> Any:
    """Returns the value of an argument."""
    if not isinstance(value, Spec):
        return value
    if value.name == PRETRAINED:
        return loaded[str(value)]
    kind = kind_of(annotation)
    if kind is None:
        raise InputError(f"'{value}' is not allowed here: give a number, a string, True, False or None.")
    return _make(value, kind, loaded)


def _cell(spec: Spec, input_size: int, key: PRNGKeyArray, loaded: Mapping[str, Any]) -> AbstractCell:
    if spec.name == PRETRAINED:
        return fitting(spec, loaded[str(spec)], input_size)
    made = constructor(spec, AbstractCell)
    if spec.name not in ("Chain", "Parallel"):

        def value(value, annotation):
            nested = isinstance(value, Spec) and kind_of(annotation) is AbstractCell
            return _cell(value, input_size, key, loaded) if nested else _value(value, annotation, loaded=loaded)

        return call(spec, made, value, {"input_size": input_size, "key": key})
    if spec.named:
        raise InputError(f"{spec}: {spec.name} has no argument '{spec.named[0][0]}'; give layers by position.")
    parts = []
    for index, part in enumerate(spec.positional):
        cell = _cell(part, input_size, jax.random.fold_in(key, index), loaded)
        if spec.name == "Chain":
            input_size = output_size(cell, input_size)
        parts.append(cell)
    return made(*parts)


def _encoder(spec: Spec, space: Any, key: PRNGKeyArray, loaded: Mapping[str, Any]) -> Any:
    if spec.name == PRETRAINED:
        return fitting_encoder(spec, loaded[str(spec)], space)

    def value(value, annotation):
        if isinstance(value, Spec) and kind_of(annotation) is AbstractEncoder:
            return lambda space, *, key: _encoder(value, space, key, loaded)
        return _value(value, annotation, loaded=loaded)

    return call(spec, constructor(spec, AbstractEncoder), value, {"space": space, "key": key})


def fitting(spec: Spec, cell: Any, input_size: int) -> AbstractCell:
    """Returns a pretrained cell, if it accepts the number of inputs that it would receive."""
    if not isinstance(cell, AbstractCell):
        raise InputError(f"{spec} is not a cell, but a {type(cell).__name__}: give the part 'memory'.")
    try:
        output_size(cell, input_size)
    except (InputError, TypeError, ValueError) as error:
        raise InputError(
            f"{spec} does not fit: it would receive {input_size} inputs, and it was trained on others: "
            f"{str(error).partition(chr(10))[0]}"
        ) from None
    return cell


def fitting_encoder(spec: Spec, encoder: Any, space: Any) -> Any:
    """Returns a pretrained encoder, if it accepts the observations of a space."""
    if isinstance(encoder, AbstractCell):
        raise InputError(f"{spec} is not an encoder, but a {type(encoder).__name__}: give the part 'encoder'.")
    try:
        features_size(encoder, space)
    except (InputError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{spec} does not fit: it would receive observations of {space}, and it was trained on others: "
            f"{str(error).partition(chr(10))[0]}"
        ) from None
    return encoder
