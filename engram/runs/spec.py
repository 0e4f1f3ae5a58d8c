"""Constructor expressions, `GRU(64, gates=Chrono(300))`: parsed, never evaluated, and built with what a run supplies."""

import ast
import dataclasses
import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

import engram
from engram.agents import AbstractAgent, AbstractPsi, Ramp
from engram.cell import AbstractCell, output_size
from engram.cells.initialisers import AbstractGates, AbstractWeights
from engram.envs import AbstractEnv
from engram.estimators import AbstractEstimator
from engram.memup import MemUP
from engram.objectives import AbstractChoice, AbstractDetector, AbstractEpisodes
from engram.strategies import AbstractStrategy
from engram.tasks import AbstractTask
from engram.types import InputError

KINDS = (
    *(AbstractCell, AbstractGates, AbstractWeights, AbstractEstimator),
    *(AbstractTask, AbstractEnv, AbstractAgent, AbstractPsi, Ramp, AbstractStrategy),
    *(AbstractEpisodes, MemUP, AbstractChoice, AbstractDetector),
)
"""What expressions describe."""


UNSAID = (engram.Stateless, engram.Foresight, engram.Recalled, engram.AgentPlay)
"""What no expression describes: it is made of functions, or of parts that a run makes."""


class Spec(NamedTuple):
    """A constructor's name and its arguments, which are numbers, strings, `True`, `False`, `None`, or specs."""

    name: str
    positional: tuple[Any, ...]
    named: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        values = [_show(value) for value in self.positional] + [f"{name}={_show(value)}" for name, value in self.named]
        return f"{self.name}({', '.join(values)})"


def parse(text: str) -> Spec:
    """Reads one constructor expression."""
    specs = parse_all(text)
    if len(specs) != 1:
        raise InputError(f"'{text}' has {len(specs)} expressions where one is wanted.")
    return specs[0]


def parse_all(text: str) -> list[Spec]:
    """Reads constructor expressions, separated by commas."""
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (RecursionError, MemoryError):
        raise InputError("An expression is too deeply nested to be read: give one such as GRU(64).") from None
    except (SyntaxError, ValueError) as error:
        raise InputError(f"'{text}' is no constructor expression such as GRU(64): {error.args[0]}.") from None
    nodes = body.elts if isinstance(body, ast.Tuple) else [body]
    return [_read(node, text) for node in nodes]


def build(text: str, kind: type, **supplied: Any) -> Any:
    """The object of a given kind that an expression describes.

    `supplied` are arguments that constructors take when they ask for them by name and the expression does not give them.
    """
    spec = parse(text)
    _require_kind(spec, kind)
    return _make(spec, supplied)


def build_all(text: str, kind: type) -> list[Any]:
    """The objects that expressions separated by commas describe."""
    specs = parse_all(text)
    for spec in specs:
        _require_kind(spec, kind)
    return [_make(spec, {}) for spec in specs]


def build_cell(text: str, input_size: int, *, key: PRNGKeyArray) -> tuple[AbstractCell, int]:
    """A cell and the number of its outputs; the layers of a `Chain` take their input sizes from the layer before."""
    cell = _make_cell(parse(text), input_size, key)
    return cell, output_size(cell, input_size)


def express(made: eqx.Module) -> str:
    """The expression of an object whose fields are its arguments: what is required by position, what is changed by name."""
    shown = []
    for field in dataclasses.fields(made):
        value = getattr(made, field.name)
        text = express(value) if isinstance(value, eqx.Module) else repr(value)
        if field.default is dataclasses.MISSING:
            shown.append(text)
        elif value != field.default:
            shown.append(f"{field.name}={text}")
    return f"{type(made).__name__}({', '.join(shown)})"


def names() -> dict[str, type]:
    """What an expression may name: the public classes whose arguments an expression can give."""
    found = {name: value for name, value in vars(engram).items() if inspect.isclass(value) and issubclass(value, KINDS)}
    return {name: value for name, value in found.items() if not inspect.isabstract(value) and value not in UNSAID}


def call(spec: Spec, constructor: Callable[..., Any], value_of: Callable[[Any], Any], supplied: Mapping[str, Any]) -> Any:
    """Calls a constructor with the arguments of a spec, each as `value_of` gives it, once they are known to fit."""
    signature = inspect.signature(constructor)
    accepted = signature.parameters
    usual = list(arguments(constructor))
    for name, _ in spec.named:
        if name not in usual:
            raise InputError(f"{spec.name}{show_signature(constructor)} has no argument '{name}'. {nearest(name, usual)}")
    given = {name: value_of(value) for name, value in spec.named}
    extra = {name: value for name, value in supplied.items() if name in accepted and name not in given}
    open_slots = [
        parameter.name
        for parameter in accepted.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.name not in extra
    ]
    if len(spec.positional) > len(open_slots):
        raise InputError(f"{spec} has too many arguments; {spec.name} takes {show_signature(constructor)}.")
    positional = {name: value_of(value) for name, value in zip(open_slots, spec.positional, strict=False)}
    named = [name for name, _ in spec.named]
    twice = [name for name in [*positional, *named] if [*positional, *named].count(name) > 1]
    if twice:
        raise InputError(f"{spec} gives '{twice[0]}' twice.")
    try:
        bound = signature.bind(**given, **extra, **positional)
    except TypeError as error:
        raise InputError(f"{spec}: {error}; {spec.name} takes {show_signature(constructor)}.") from None
    for name, value in bound.arguments.items():
        _check_type(spec, name, value, accepted[name].annotation)
    try:
        return constructor(*bound.args, **bound.kwargs)
    except InputError:
        raise
    except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise InputError(f"{spec} cannot be made: {str(error).partition(chr(10))[0]}") from None


def nearest(name: str, options: Iterable[str]) -> str:
    """What someone who wrote an unknown name may have meant."""
    lower = {option.lower(): option for option in options}
    match = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    return f"Did you mean '{lower[match[0]]}'?" if match else f"There are {', '.join(sorted(options))}."


def arguments(constructor: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The arguments that an expression gives; a run supplies sizes, keys, and to agents whatever else they work with."""
    supplied = {"input_size", "key"}
    if inspect.isclass(constructor) and issubclass(constructor, AbstractAgent | MemUP):
        supplied |= {"env", "episodes", "estimator", "optimiser"}
    accepted = inspect.signature(constructor).parameters
    return {name: parameter for name, parameter in accepted.items() if name not in supplied}


def show_signature(constructor: Callable[..., Any]) -> str:
    """The arguments that an expression gives, as they are written."""
    shown = []
    for name, parameter in arguments(constructor).items():
        default = parameter.default
        value = express(default) if isinstance(default, eqx.Module) else repr(default)
        shown.append(name if default is parameter.empty else f"{name}={value}")
    return f"({', '.join(shown)})"


def _make_cell(spec, input_size, key):
    _require_kind(spec, AbstractCell)
    if spec.name not in ("Chain", "Parallel"):
        return _make(spec, {"input_size": input_size, "key": key})
    if spec.named:
        raise InputError(f"{spec}: {spec.name} takes layers alone, and no '{spec.named[0][0]}'.")
    parts = []
    for index, part in enumerate(spec.positional):
        if not isinstance(part, Spec):
            raise InputError(f"{spec}: {part!r} is no cell.")
        cell = _make_cell(part, input_size, jax.random.fold_in(key, index))
        if spec.name == "Chain":
            input_size = output_size(cell, input_size)
        parts.append(cell)
    return names()[spec.name](*parts)


def _make(spec: Spec, supplied: Mapping[str, Any]) -> Any:
    known = names()
    if spec.name not in known:
        raise InputError(f"There is no '{spec.name}'. {nearest(spec.name, known)}")
    return call(spec, known[spec.name], lambda value: _value(value, supplied), supplied)


def _value(value, supplied):
    """An argument's value; a cell within a cell (`WeightNorm(GRU(8))`), or an agent in another, is supplied as that is."""
    if not isinstance(value, Spec):
        return value
    return _make(value, supplied if issubclass(names().get(value.name, int), AbstractCell | AbstractAgent) else {})


def _check_type(spec: Spec, name: str, value: Any, annotation: Any) -> None:
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    if not any(_fits(value, option) for option in options):
        wanted = " or ".join(_kind(option) for option in options)
        raise InputError(f"{spec}: {name} wants {wanted}, not {_show_value(value)}.")


def _fits(value: Any, annotation: Any) -> bool:
    if annotation in (int, float):
        return isinstance(value, int | annotation) and not isinstance(value, bool)
    if inspect.isclass(annotation) and (annotation in (bool, str, types.NoneType) or issubclass(annotation, eqx.Module)):
        return isinstance(value, annotation)
    return True  # a key, which the run supplies, or a type that only shapes tell


def _kind(annotation: type) -> str:
    plain = {int: "a whole number", float: "a number", bool: "True or False", str: "a string", types.NoneType: "None"}
    if annotation in plain:
        return plain[annotation]
    return f"one of {', '.join(_options(annotation))}"


def _options(kind: type) -> list[str]:
    return sorted(name for name, value in names().items() if issubclass(value, kind))


def _show_value(value):
    return express(value) if isinstance(value, eqx.Module) else repr(value)


def _require_kind(spec: Spec, kind: type) -> None:
    """Refuses an expression that names something of another kind, before it is built."""
    known = names()
    if spec.name in known and not issubclass(known[spec.name], kind):
        wanted = kind.__name__.removeprefix("Abstract").lower()
        raise InputError(f"'{spec}' is no {wanted}; there are {', '.join(_options(kind))}.")


def _read(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Name(id=name):
            return Spec(name, (), ())
        case ast.Call(func=ast.Name(id=name), args=positional, keywords=named) if all(word.arg for word in named):
            return Spec(
                name,
                tuple(_read(value, text) for value in positional),
                tuple((str(word.arg), _read(word.value, text)) for word in named),
            )
        case _:
            raise InputError(
                f"'{ast.unparse(node)}' in '{text}' cannot be read: an expression is a name with arguments, such as "
                f"GRU(64), and an argument is a number, a string, True, False, None, or another such expression."
            )


def _show(value: Any) -> str:
    return str(value) if isinstance(value, Spec) else repr(value)
