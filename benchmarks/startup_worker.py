"""Startup times, in seconds of whole processes."""

import os
import subprocess
import sys
import tempfile
import time

from worker import answer


def process_seconds(arguments: list[str], cache: str) -> float:
    """The time of `python ARGUMENTS`, from start to exit, with compiled programs kept under `cache`."""
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        env={**environment, "XDG_CACHE_HOME": cache},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def importing(module: str) -> dict[str, float]:
    """`import MODULE`, once the operating system has its files in memory."""
    with tempfile.TemporaryDirectory() as cache:
        process_seconds(["-c", f"import {module}"], cache)
        return {"seconds": process_seconds(["-c", f"import {module}"], cache)}


def diagnose(cache: str) -> dict[str, float]:
    """`farback diagnose` without arguments, with an empty compilation cache (cold) or that of an earlier run (warm)."""
    command = ["-m", "farback", "diagnose"]
    with tempfile.TemporaryDirectory() as directory:
        if cache == "warm":
            process_seconds(command, directory)
        return {"seconds": process_seconds(command, directory)}


if __name__ == "__main__":
    answer({"import": (importing, {"module": "farback"}), "diagnose": (diagnose, {"cache": "cold"})}, "farback")
