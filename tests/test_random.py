"""Random draws have the distributions that they promise."""

import jax
import numpy as np

from farback.ops.random import distinct


def test_distinct_draws_every_set_with_the_same_probability():
    """Draws with replacement fail the same test."""
    draws = 4_000

    def uniform(sets):
        kinds, counts = np.unique(np.sort(sets, axis=1), axis=0, return_counts=True)
        expected = draws / 10
        squares = np.sum((counts - expected) ** 2) / expected + (10 - len(counts)) * expected
        return squares < 27.9 and all(len(set(kind)) == 2 for kind in kinds.tolist())  # the 99.9 % point of χ²(9)

    keys = jax.random.split(jax.random.key(0), draws)
    assert uniform(jax.vmap(lambda key: distinct(2, 5, key))(keys))
    assert not uniform(jax.vmap(lambda key: jax.random.randint(key, (2,), 0, 5))(keys))
    assert sorted(distinct(5, 5, keys[0]).tolist()) == [0, 1, 2, 3, 4]
    assert distinct(0, 5, keys[0]).tolist() == []
