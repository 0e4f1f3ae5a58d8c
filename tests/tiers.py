"""The two tiers of tests: `make test-fast` leaves out what is marked slow."""

import pytest


def slow_except(fast, names):
    """The names as parameters of a test, all but the representatives `fast` marked slow."""
    names = list(names)
    assert set(fast) <= set(names)
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]
