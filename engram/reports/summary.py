"""What several seeds say together: means, and how far to trust them."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from engram.types import InputError

FEWEST = 3
"""How many seeds an interval needs."""


@dataclass(frozen=True)
class Interval:
    """A mean over `count` seeds and its confidence interval, `None` where there are too few of them."""

    mean: float
    low: float | None
    high: float | None
    count: int


class Band(NamedTuple):
    """An `Interval` at each point of a curve, NaN where there is none."""

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
    """The mean of values x₁, ..., xₙ, one a seed, and its percentile bootstrap interval.

    The interval lies between the (1 ± confidence) / 2 quantiles of the means of `draws` resamples, each of n values drawn
    with replacement. It describes the mean of seeds like these, not the next single seed; with few seeds it is too narrow.

    A value that is NaN or infinite is a seed without a result: it is left out, and `count` tells how many remain. Fewer
    than 3 have no interval (`low` and `high` are `None`): the means of two values' resamples are those two and the middle,
    that of one is itself, and an interval of these would only look like knowledge. Without any value, the mean is NaN.

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
    """The `interval` of each column. Seeds may lack values at different points."""
    if not 0 < confidence < 1:
        raise InputError(f"confidence={confidence}: an interval covers a share of cases; give 0 < confidence < 1.")
    if draws < 1:
        raise InputError(f"draws={draws}: an interval needs resamples; give draws >= 1.")
    result = Band(*np.full((3, values.shape[1]), np.nan))
    present = np.isfinite(values)
    for pattern in np.unique(present, axis=1).T:  # columns that lack the same seeds are resampled together
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
    """How often, as a share, each value occurs in each resample."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws) / count


def tail_mean(values: Sequence[float]) -> float:
    """The mean over the last tenth of the values, one at least. Values that are not finite are left out; NaN if all are."""
    last = np.asarray(values[-max(1, -(-len(values) // 10)) :], dtype=float)
    kept = last[np.isfinite(last)]
    return float(kept.mean()) if len(kept) else float("nan")
