"""Means over seeds, and their confidence intervals."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from farback.types import InputError

FEWEST = 3
"""The fewest seeds that have an interval."""


@dataclass(frozen=True)
class Interval:
    """A mean over `count` seeds and its confidence interval; `None` where the seeds are too few."""

    mean: float
    low: float | None
    high: float | None
    count: int


class Band(NamedTuple):
    """An `Interval` at each point of a curve; NaN where a point has none."""

    mean: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"]
    high: Float[np.ndarray, " points"]


def interval(
    values: Sequence[float] | Float[np.ndarray, " seeds"],
    *,
    confidence: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Returns the mean of values x₁, ..., xₙ, one per seed, and its percentile bootstrap interval.

    The interval lies between the (1 ± confidence) / 2 quantiles of the means of `draws` resamples, each of n values drawn
    with replacement. It describes the mean over seeds, not a single new seed; with few seeds it is too narrow.

    A value that is NaN or infinite is left out; `count` is the number of the others. Fewer than 3 have no interval (`low`
    and `high` are `None`): resamples of two values have only three different means. Without values, the mean is NaN.

    **Arguments:**

    - `values`: one value per seed.
    - `confidence`: the confidence of the interval.
    - `draws`: the number of resamples.
    - `seed`: the seed of the resamples.

    Reference: Efron (1979), *Bootstrap methods: another look at the jackknife*, Annals of Statistics 7(1).
    """
    column = np.asarray(values, dtype=float).reshape(-1, 1)
    mean, low, high = (float(part[0]) for part in band(column, confidence=confidence, draws=draws, seed=seed))
    count = int(np.isfinite(column).sum())
    return Interval(mean, low, high, count) if count >= FEWEST else Interval(mean, None, None, count)


def band(
    values: Float[np.ndarray, "seeds points"],
    *,
    confidence: float = 0.95,
    draws: int = 2_000,
    seed: int = 0,
) -> Band:
    """Returns the `interval` of each column. Seeds may lack values at different points."""
    if not 0 < confidence < 1:
        raise InputError(f"confidence={confidence}: a confidence is a probability; give 0 < confidence < 1.")
    if draws < 1:
        raise InputError(f"draws={draws}: an interval needs resamples; give draws >= 1.")
    result = Band(*np.full((3, values.shape[1]), np.nan))
    present = np.isfinite(values)
    for pattern in np.unique(present, axis=1).T:  # columns with the same missing seeds are resampled together
        columns = (present == pattern[:, None]).all(0)
        kept = values[pattern][:, columns]
        if len(kept):
            result.mean[columns] = kept.mean(0)
        if len(kept) >= FEWEST:
            means = _weights(len(kept), draws, seed) @ kept
            result.low[columns], result.high[columns] = np.quantile(
                means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0
            )
    return result


@functools.cache
def _weights(count: int, draws: int, seed: int) -> Float[np.ndarray, "draws count"]:
    """Returns the share of each value in each resample."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws) / count


def tail_mean(values: Sequence[float]) -> float:
    """Returns the mean of the finite values among the last tenth, which is one value or more; NaN if none is finite."""
    last = np.asarray(values[-max(1, -(-len(values) // 10)) :], dtype=float)
    kept = last[np.isfinite(last)]
    return float(kept.mean()) if len(kept) else float("nan")
