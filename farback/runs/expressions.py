"""Constructor expressions such as `GRU(64, gates=Chrono(300))`: parsed, never evaluated."""

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

from farback.types import InputError

SUPPLIED = {"input_size", "space", "key"}
"""Arguments that no expression gives: the maker of the network supplies them."""


class Spec(NamedTuple):
    """A parsed expression: a name, and arguments that are numbers, strings, `True`, `False`, `None`, tuples of numbers, or
    specs.
    """

    name: str
    positional: tuple[Any, ...] = ()
    named: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        values = [_show(value) for value in self.positional] + [f"{name}={_show(value)}" for name, value in self.named]
        return f"{self.name}({', '.join(values)})"


def parse(text: str) -> Spec:
    """Parses one expression."""
    specs = parse_all(text)
    if len(specs) != 1:
        raise InputError(f"'{text}' has {len(specs)} expressions: give one.")
    return specs[0]


def parse_all(text: str) -> list[Spec]:
    """Parses expressions separated by commas."""
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (RecursionError, MemoryError):
        raise InputError("The expression is nested too deeply: give one such as GRU(64).") from None
    except (SyntaxError, ValueError) as error:
        raise InputError(f"'{text}' is not a constructor expression such as GRU(64): {error.args[0]}.") from None
    nodes = body.elts if isinstance(body, ast.Tuple) else [body]
    return [_read(node, text) for node in nodes]


def express(made: Any) -> str:
    """Returns the expression of an object whose fields are its arguments, without default arguments."""
    if inspect.isclass(made):
        return f"{made.__name__}()"
    if not dataclasses.is_dataclass(made):
        return repr(made)
    shown = []
    for field in dataclasses.fields(made):
        if not field.init:
            continue
        value = getattr(made, field.name)
        text = express(value) if isinstance(value, eqx.Module) else repr(value)
        if field.default is dataclasses.MISSING:
            shown.append(text)
        elif value != field.default:
            shown.append(f"{field.name}={text}")
    return f"{type(made).__name__}({', '.join(shown)})"


def call(
    spec: Spec,
    constructor: Callable[..., Any],
    value_of: Callable[[Any, Any], Any],
    supplied: Mapping[str, Any],
    hidden: Iterable[str] = SUPPLIED,
    partial: bool = False,
) -> Any:
    """Calls a constructor with the arguments of a spec, after checking their names and types.

    **Arguments:**

    - `spec`: the parsed expression.
    - `constructor`: the constructor.
    - `value_of`: returns the value of an argument, from its value in the spec and its annotation.
    - `supplied`: further arguments; those that the constructor does not have are left out.
    - `hidden`: the names of arguments that an expression must not give.
    - `partial`: whether to return a function of the further arguments instead of calling the constructor.
    """
    signature = inspect.signature(constructor)
    accepted = {name: parameter for name, parameter in signature.parameters.items() if name not in hidden}
    more_named = [parameter for parameter in accepted.values() if parameter.kind is parameter.VAR_KEYWORD]
    accepted = {name: parameter for name, parameter in accepted.items() if parameter not in more_named}
    if more_named:
        accepted |= {name: more_named[0].replace(name=name) for name, _ in spec.named if name not in accepted}
    for name, _ in spec.named:
        if name not in accepted:
            shown = f"{spec.name}{show_signature(constructor, hidden)}"
            raise InputError(f"{shown} has no argument '{name}'. {nearest(name, accepted)}")
    slots = [name for name, parameter in accepted.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    if len(spec.positional) > len(slots):
        raise InputError(f"{spec} has too many arguments: {spec.name} takes {show_signature(constructor, hidden)}.")
    given = dict(zip(slots, spec.positional, strict=False))
    named = [name for name, _ in spec.named]
    twice = [name for name in named if name in given or named.count(name) > 1]
    if twice:
        raise InputError(f"{spec} gives '{twice[0]}' twice: give it once.")
    given |= dict(spec.named)
    values = {name: value_of(value, accepted[name].annotation) for name, value in given.items()}
    needed = {name for name, parameter in accepted.items() if parameter.default is parameter.empty}
    missing = [name for name in accepted if name in needed and name not in values]
    if missing and not any(parameter.kind is parameter.VAR_POSITIONAL for parameter in accepted.values()):
        wanted = show_signature(constructor, hidden)
        raise InputError(f"{spec} is missing a required argument, '{missing[0]}': {spec.name} takes {wanted}.")
    for name, value in values.items():
        check_type(f"{spec}: {name}", value, accepted[name].annotation)
    more = {name: value for name, value in supplied.items() if name in signature.parameters}

    def construct(*args: Any, **extra: Any) -> Any:
        return guarded(spec, lambda: constructor(*args, **extra, **values))

    return construct if partial else construct(**more)


def guarded(spec: Spec, make: Callable[[], Any]) -> Any:
    """Calls `make`, which constructs an expression's object, and turns its errors into an `InputError`."""
    try:
        return make()
    except InputError:
        raise
    except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise InputError(f"{spec} cannot be made: {str(error).partition(chr(10))[0]}") from None


def nearest(name: str, options: Iterable[str]) -> str:
    """Returns a hint for an unknown name: the nearest option, or all options."""
    lower = {option.lower(): option for option in options}
    match = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    return f"Did you mean '{lower[match[0]]}'?" if match else f"Give one of {', '.join(sorted(lower.values()))}."


def show_signature(constructor: Callable[..., Any], hidden: Iterable[str] = SUPPLIED) -> str:
    """Returns the arguments that an expression may give, as text."""
    shown = []
    for name, parameter in inspect.signature(constructor).parameters.items():
        if name in hidden:
            continue
        default = parameter.default
        value = express(default) if isinstance(default, eqx.Module) or inspect.isclass(default) else repr(default)
        star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        shown.append(star + name if default is parameter.empty else f"{name}={value}")
    return f"({', '.join(shown)})"


def check_type(where: str, value: Any, annotation: Any) -> None:
    """Refuses a value that does not have the type of its argument."""
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    if not any(_fits(value, option) for option in options):
        wanted = " or ".join(describe_type(option) for option in options)
        raise InputError(f"{where} = {_show_value(value)}: give {wanted}.")


def describe_type(annotation: Any) -> str:
    """Returns a type in words."""
    plain = {int: "a whole number", float: "a number", bool: "True or False", str: "a string", types.NoneType: "None"}
    if annotation in plain:
        return plain[annotation]
    name = getattr(annotation, "__name__", str(annotation)).removeprefix("Abstract")
    return f"an expression of the kind {name}"


def _fits(value: Any, annotation: Any) -> bool:
    if annotation in (int, float):
        kinds = int | float | jax.Array if annotation is float else int
        return isinstance(value, kinds) and not isinstance(value, bool)
    if inspect.isclass(annotation) and (annotation in (bool, str, types.NoneType) or issubclass(annotation, eqx.Module)):
        return isinstance(value, annotation)
    return True  # the constructor checks other types


def _show_value(value):
    if any(eqx.is_array(leaf) for leaf in jax.tree.leaves(value)):
        return type(value).__name__
    return express(value) if isinstance(value, eqx.Module) else repr(value)


def _read(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Tuple(elts=elements) if all(_is_number(element) for element in elements):
            return tuple(_read(element, text) for element in elements)
        case ast.Name(id=name):
            return Spec(name)
        case ast.Call(func=ast.Name(id=name), args=positional, keywords=named) if all(word.arg for word in named):
            return Spec(
                name,
                tuple(_read(value, text) for value in positional),
                tuple((str(word.arg), _read(word.value, text)) for word in named),
            )
        case _:
            raise InputError(
                f"'{ast.unparse(node)}' in '{text}' cannot be read: an expression is a name with arguments, such as "
                f"GRU(64), and an argument is a number, a string, True, False, None, several numbers such as (16, 32), or "
                f"another such expression."
            )


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


def _show(value: Any) -> str:
    return str(value) if isinstance(value, Spec) else repr(value)
