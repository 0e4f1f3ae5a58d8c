"""Every test runs in float64, with annotations checked, warnings as errors, and strict dtype promotion."""

import itertools
import os
import shutil

import jax
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")

hook = install_import_hook("engram", "typechecker.check")
hook.__enter__()


def pytest_runtest_setup(item):
    """Tests marked `browser` need what is no Python package: elsewhere they are left out and say so, in CI they fail."""
    if item.get_closest_marker("browser") and not (shutil.which("chromium") and shutil.which("chromedriver")):
        reason = "needs Chromium: apt-get install chromium chromium-driver"
        if os.environ.get("ENGRAM_CI") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture
def key():
    return jax.random.key(0)


_tests_run = itertools.count(1)


@pytest.fixture(autouse=True)
def _release_compiled_programs():
    """Compiled programs take memory maps, of which a process may have 65,530: a long session would run out of them."""
    yield
    if next(_tests_run) % 40 == 0:
        jax.clear_caches()
