"""What a table of counts can know."""

import numpy as np
from jaxtyping import Float, Integer


def conditional_entropy(given: Integer[np.ndarray, " pairs"], wanted: Integer[np.ndarray, " pairs"]) -> float:
    """The least cross-entropy, in nats, at which `wanted` can be told from `given` alone, over these very pairs:

        H(wanted | given) = H(given, wanted) − H(given),   with each pair as likely as it is frequent

    It is reached by the table that counts them, and bounds every other predictor of these pairs from below. Where there are
    about as many different pairs as pairs, the table knows them by heart, and the bound is far from what can be learnt.
    """
    size = int(wanted.max()) + 1
    dtype = np.min_scalar_type((int(given.max()) + 1) * size)
    pairs = given.astype(dtype) * size + wanted.astype(dtype)
    return max(_entropy(_counts(pairs)) - _entropy(_counts(given)), 0.0)


def _counts(values: np.ndarray) -> Float[np.ndarray, " kinds"]:
    few = values.dtype.itemsize <= 2  # of so few kinds, a table is quicker than sorting
    counts = np.bincount(values) if few else np.unique(values, return_counts=True)[1]
    return counts[counts > 0].astype(float)


def _entropy(counts: Float[np.ndarray, " kinds"]) -> float:
    shares = counts / counts.sum()
    return -float(shares @ np.log(shares))
