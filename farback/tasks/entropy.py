"""The conditional entropy of paired symbols."""

import numpy as np
from jaxtyping import Float, Integer


def conditional_entropy(given: Integer[np.ndarray, " pairs"], wanted: Integer[np.ndarray, " pairs"]) -> float:
    """The least cross-entropy, in nats, of a prediction of `wanted` from `given` over these pairs:

        H(wanted | given) = H(given, wanted) − H(given),   with empirical frequencies

    The table of counts reaches it, and it is a lower bound for every other predictor of these pairs. If most pairs occur
    only once, the table memorises them, and the bound is far below the loss of any predictor that generalises.
    """
    size = int(wanted.max()) + 1
    dtype = np.min_scalar_type((int(given.max()) + 1) * size)
    pairs = given.astype(dtype) * size + wanted.astype(dtype)
    return max(_entropy(_counts(pairs)) - _entropy(_counts(given)), 0.0)


def _counts(values: np.ndarray) -> Float[np.ndarray, " kinds"]:
    few = values.dtype.itemsize <= 2  # for few kinds, a table is faster than sorting
    counts = np.bincount(values) if few else np.unique(values, return_counts=True)[1]
    return counts[counts > 0].astype(float)


def _entropy(counts: Float[np.ndarray, " kinds"]) -> float:
    shares = counts / counts.sum()
    return -float(shares @ np.log(shares))
