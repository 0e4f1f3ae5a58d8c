"""The two tiers of tests: `make test-fast` leaves out what is marked slow."""

import pytest


def slow_except(fast, names):
    """The names as parameters of a test. All are marked slow but the representatives `fast`."""
    names = list(names)
    assert set(fast) <= set(names)
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]
