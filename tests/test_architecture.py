"""Imports point down only, siblings never import each other, and classes are abstract or final."""

import ast
import inspect
from pathlib import Path

import equinox as eqx

import engram

ROOT = Path(engram.__file__).parent
FLOORS = [
    {"types", "together"},
    {"chance"},
    {"cell"},
    {"step", "descent", "tasks", "envs"},
    {"cells", "estimators", "objectives", "strategies"},
    {"learner", "memup"},
    {"agents"},
    {"runs"},
    {"reports"},
    {"papers"},
    {"cli"},
    {"__main__"},
]
HEIGHT = {room: height for height, floor in enumerate(FLOORS) for room in floor}


def imports():
    """Each import of a room by a file of another room."""
    for path in sorted(ROOT.rglob("*.py")):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            found = []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: a relative import"
                found = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            for module in found:
                first, *rest = module.split(".")
                if first == "engram" and room != "__init__":
                    other = rest[0] if rest else "the whole package"
                    if other != room:
                        yield path.relative_to(ROOT), room, other


def test_every_room_has_its_floor():
    rooms = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")}
    assert rooms - {"__init__"} == set(HEIGHT)


def test_imports_point_down():
    # runs/spec.py reads the names that an expression may use off the public ones.
    whole = {str(path) for path, _, other in imports() if other == "the whole package"}
    assert whole == {"runs/spec.py"}
    known = [(path, room, other) for path, room, other in imports() if other != "the whole package"]
    upward = [f"{path}: {room} imports {other}" for path, room, other in known if HEIGHT[other] >= HEIGHT[room]]
    assert not upward


def test_control_the_imports_are_found():
    assert ("cli", "reports") in {(room, other) for _, room, other in imports()}


def test_classes_are_abstract_or_final():
    classes = {value for value in vars(engram).values() if inspect.isclass(value) and issubclass(value, eqx.Module)}
    for value in classes:
        heirs = [heir for heir in value.__subclasses__() if heir.__module__.startswith("engram")]
        assert inspect.isabstract(value) or not heirs, f"{value.__name__} is concrete, yet inherited from"
        assert inspect.isabstract(value) or not value.__name__.startswith("Abstract")


def test_the_public_names_say_what_they_are():
    for name, value in vars(engram).items():
        if inspect.isclass(value):
            assert value.__doc__, f"{name} has no docstring"
            if issubclass(value, engram.AbstractCell | engram.AbstractEstimator) and not inspect.isabstract(value):
                assert "Reference:" in value.__doc__ or name in (
                    "Alongside",
                    "Chain",
                    "Parallel",
                    "Stateless",
                    "Sharded",
                ), f"{name} cites nothing"
