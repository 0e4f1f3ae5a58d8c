"""Optimistic posterior sampling for reinforcement learning."""

import jax
from jaxtyping import Array, Int, PRNGKeyArray

from farback.strategies.base import AbstractStrategy
from farback.strategies.belief import AbstractBelief, Values
from farback.types import InputError


class OPSRL(AbstractStrategy):
    """Optimistic posterior sampling: the largest action values among M draws from the posterior.

        Q_t[s, a] = max_m Q_t^m[s, a],     Q^m the optimal values of draw m

    M = 1 is posterior sampling (PSRL): the strategy is optimal for one draw per episode.

    **Arguments:**

    - `samples`: M, the number of draws.

    References: Strens, *A Bayesian framework for reinforcement learning*, 2000 (M = 1). Osband & Van Roy, *Why is posterior
    sampling better than optimism for reinforcement learning?*, 2017.
    """

    samples: int = 10

    def __check_init__(self):
        if self.samples < 1:
            raise InputError(f"OPSRL(samples={self.samples}): the maximum is over at least 1 draw; give samples >= 1.")

    def values(self, belief: AbstractBelief, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        return jax.vmap(belief.drawn)(jax.random.split(key, self.samples)).max(0)
