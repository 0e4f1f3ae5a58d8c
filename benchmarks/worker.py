"""Shared code of the workers: one case on the command line, one JSON object on standard output."""

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

import numpy as np

Sizes = dict[str, int | float | str]


def answer(cases: dict[str, tuple[Callable[..., dict[str, Any]], Sizes]], *packages: str) -> None:
    """Runs the case that the command line names and prints its result, with the versions of some packages.

    A case is a pair of a function, which takes sizes by keyword, and the defaults of the sizes.
    """
    parser = argparse.ArgumentParser()
    choice = parser.add_subparsers(dest="case", required=True)
    for name, (function, defaults) in cases.items():
        one = choice.add_parser(name, help=getattr(function, "func", function).__doc__)
        for size, default in defaults.items():
            one.add_argument(f"--{size}", type=type(default), default=default)
    arguments = vars(parser.parse_args())
    function, _ = cases[arguments.pop("case")]
    versions = {"Python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}
    print(json.dumps({**function(**arguments), "versions": versions}))


def median_seconds(run: Callable[[], Any], seconds: float, least: int = 5) -> float:
    """The median time of `run`, which returns when its work is done, over at least `seconds` and at least `least` runs.

    The first run compiles, and does not count.
    """
    run()
    times: list[float] = []
    while sum(times) < seconds or len(times) < least:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_bytes() -> int:
    """The peak resident memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def deviation(draws: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> dict[str, Any]:
    """The relative distance of the mean of gradients (a leading axis for the draws) from the exact one.

    - `error`: ‖mean − exact‖ / ‖exact‖; `noise`: the part of it due to the scatter of the draws (0: no noise).
    - `worst`, `worst_error`, `worst_noise`: the same for the parameter whose error noise explains least.
    """

    def one(names):
        square = sum(float(np.sum((draws[n].mean(0) - exact[n]) ** 2)) for n in names)
        count = len(draws[names[0]])
        scatter = sum(float(np.sum(draws[n].var(0, ddof=1))) / count for n in names) if count > 1 else 0.0
        scale = sum(float(np.sum(exact[n] ** 2)) for n in names)
        return (square / scale) ** 0.5, (scatter / scale) ** 0.5

    error, noise = one(list(exact))
    each = {name: one([name]) for name in exact}
    worst = max(each, key=lambda name: each[name][0] - 3 * each[name][1])
    return {
        "error": error,
        "noise": noise,
        "worst": worst,
        "worst_error": each[worst][0],
        "worst_noise": each[worst][1],
    }
