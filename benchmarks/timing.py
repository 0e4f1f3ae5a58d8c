"""What the workers share: one case each on the command line, one JSON object on standard output. Standard library only."""

import argparse
import importlib.metadata
import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any


def median_seconds(run: Callable[[], Any], seconds: float, least: int = 5) -> float:
    """The median time of `run`, which returns when its work is done, over `seconds` and over `least` runs at least.

    One more run comes before them and does not count: it compiles.
    """
    run()
    times: list[float] = []
    while sum(times) < seconds or len(times) < least:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_bytes() -> int:
    """The most memory that this process ever had resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def versions(*packages: str) -> dict[str, str]:
    """The versions of Python and of some packages."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}


def add_sizes(parser: argparse.ArgumentParser, **defaults: int | float | str) -> None:
    """Adds `--name`, of the type of its default, for each of the defaults."""
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)


def answer(cases: dict[str, tuple[Callable[..., dict[str, Any]], dict[str, int | float | str]]], *packages: str) -> None:
    """Runs the case that the command line names, with its sizes, and prints what it found together with the versions.

    A case is a function that takes its sizes by keyword, and their defaults.
    """
    parser = argparse.ArgumentParser()
    choice = parser.add_subparsers(dest="case", required=True)
    for name, (function, defaults) in cases.items():
        add_sizes(choice.add_parser(name, help=function.__doc__), **defaults)
    arguments = vars(parser.parse_args())
    function, _ = cases[arguments.pop("case")]
    print(json.dumps({**function(**arguments), "versions": versions(*packages)}))
