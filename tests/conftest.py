"""Every test runs in float64, with annotations checked, warnings as errors, and strict dtype promotion."""

import contextlib
import gc
import os
import shutil
from pathlib import Path

# Most tests take longer to compile than to run.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
import jax
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")

hook = install_import_hook("farback", "typechecker.check")
hook.__enter__()


def use_compilation_cache():
    """Keeps compiled programs between sessions, in `.pytest_cache/xla` or in `JAX_COMPILATION_CACHE_DIR`.

    Each worker of pytest-xdist has a directory of its own, because JAX does not write entries atomically. It begins with
    what all of them compiled before. Processes that tests start share another one.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    default = os.environ.get("JAX_COMPILATION_CACHE_DIR", Path(__file__).parent.parent / ".pytest_cache" / "xla")
    directory = Path(os.environ.setdefault("FARBACK_TEST_CACHE", str(default)))  # workers inherit it
    jax.config.update("jax_compilation_cache_dir", str(directory / (worker or "alone")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(directory / "processes")
    if worker is None:  # before the workers start
        share(directory)


def share(directory):
    """Links the entries of all workers into the directory of each."""
    entries = {path.name: path for path in directory.glob("*/*-cache")}
    for of_worker in directory.glob("*/"):
        for name in entries.keys() - {path.name for path in of_worker.iterdir()}:
            with contextlib.suppress(OSError):  # no hard links here: the worker compiles the program itself
                os.link(entries[name], of_worker / name)


use_compilation_cache()


def pytest_collection_finish(session):
    """Collections of garbage do not visit the modules: tracing makes many objects, and sets off many of them."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item):
    """Tests marked `browser` need Chromium; without it they are skipped, and in CI they fail."""
    if item.get_closest_marker("browser") and not (shutil.which("chromium") and shutil.which("chromedriver")):
        reason = "needs Chromium: apt-get install chromium chromium-driver"
        if os.environ.get("FARBACK_CI") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(autouse=True, scope="module")
def _release_compiled_programs():
    """Compiled programs take memory and memory maps, which a long session would run out of."""
    yield
    jax.clear_caches()
