"""Imports point down and have no cycles; classes are abstract or final; public names are documented."""

import ast
import graphlib
import importlib
import inspect
from pathlib import Path

import equinox as eqx
import pytest

import farback

ROOT = Path(farback.__file__).parent
FLOORS = [
    {"types"},
    {"ops"},
    {"cell"},
    {"step"},
    {"network", "algorithm"},
    {"cells", "estimators", "tasks", "envs"},
    {"encoders", "heads", "acting", "replay"},
    {"learner"},
    {"segmentwise_artbp", "agents", "strategies"},
    {"memup", "evolution"},
    {"runs"},
    {"sweeps", "reports"},
    {"papers"},
    {"cli"},
    {"__main__"},
]
HEIGHT = {room: height for height, floor in enumerate(FLOORS) for room in floor}
NAMESPACES = ("acting", "agents", "cells", "encoders", "envs", "estimators", "evolution", "memup", "strategies", "tasks")
WITHOUT_REFERENCE = {"SkipConcat", "Chain", "Parallel", "Stateless", "Sharded", "Frozen"}
"""Cells and estimators that no paper describes."""


def name_of(path):
    """The name of the module in a file."""
    parts = ["farback", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def room(module):
    """The folder or file directly inside the package."""
    return module.split(".")[1] if "." in module else "__init__"


def run_time_nodes(tree):
    """All nodes of a module but those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield node
            yield from run_time_nodes(node)


def imports(path):
    """The modules of the package that a file imports, anywhere in it."""
    for node in run_time_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name if name in MODULES else node.module for name in names]
        else:
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (module for module in found if module.split(".")[0] == "farback")


GRAPH = {module: set(imports(path)) for module, path in MODULES.items()}


def test_every_room_has_a_floor():
    assert {room(module) for module in MODULES} - {"__init__"} == set(HEIGHT)


def test_imports_point_down():
    upward = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in others
        if room(module) not in ("__init__", room(other)) and HEIGHT.get(room(other), len(FLOORS)) >= HEIGHT[room(module)]
    ]
    assert not upward


def test_control_imports_are_found():
    pairs = {(room(module), room(other)) for module, others in GRAPH.items() for other in others}
    assert {("cli", "reports"), ("memup", "agents"), ("__init__", "runs")} <= pairs


def test_files_import_each_other_without_cycles():
    list(graphlib.TopologicalSorter(GRAPH).static_order())  # raises CycleError, which names the files


def test_control_a_cycle_is_found():
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter(GRAPH | {"farback.types": {"farback.runs.run"}}).static_order())


def test_no_file_imports_a_package_that_contains_it():
    """The root package and the file's own package are not complete yet when the file is imported."""
    wrong = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in others
        if (module.startswith(f"{other}.") and MODULES[other].name == "__init__.py") or other == "farback"
    ]
    assert not wrong


def test_the_top_level_has_at_most_45_names():
    tree = ast.parse((ROOT / "__init__.py").read_text())
    names = [alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert len(names) == len(set(names)) <= 45
    assert all(hasattr(farback, name) for name in names)


def public():
    """The public classes of the top level and of the namespaces, by name."""
    spaces = [farback, *(importlib.import_module(f"farback.{name}") for name in NAMESPACES)]
    found = {
        f"{space.__name__}.{name}": value
        for space in spaces
        for name, value in vars(space).items()
        if inspect.isclass(value) and value.__module__.startswith("farback") and name[0] != "_"
    }
    assert len(found) > 100
    return found


def test_classes_are_abstract_or_final():
    for name, value in public().items():
        if issubclass(value, eqx.Module):
            heirs = [heir.__name__ for heir in value.__subclasses__() if heir.__module__.startswith("farback")]
            assert inspect.isabstract(value) or not heirs, f"{name} is concrete, and {heirs} inherit from it"
            assert inspect.isabstract(value) or not value.__name__.startswith("Abstract"), name


def test_public_classes_have_docstrings_and_references():
    for name, value in public().items():
        text = vars(value).get("__doc__") or ""
        assert text.strip(), f"{name} has no docstring"
        assert not text.startswith(f"{value.__name__}("), f"{name} has the docstring of a dataclass"
        cited = (farback.AbstractCell, farback.AbstractEstimator)
        if issubclass(value, cited) and not inspect.isabstract(value) and value.__name__ not in WITHOUT_REFERENCE:
            assert "Reference:" in text, f"{name} cites no paper"
