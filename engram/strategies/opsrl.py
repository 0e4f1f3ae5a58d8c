"""The most that several samples from the posterior promise."""

import jax
from jaxtyping import Array, Int, PRNGKeyArray

from engram.strategies.base import AbstractStrategy
from engram.strategies.belief import AbstractBelief, Values
from engram.types import InputError


class OPSRL(AbstractStrategy):
    """Optimistic posterior sampling: actions are worth the most that they are worth in M draws from the posterior.

        Q_t[s, a] = max_m Q_t^m[s, a],     Q^m the optimal values in world m

    M = 1 is posterior sampling (PSRL): one world is drawn for each episode, and what is best in it is done.

    **Arguments:**

    - `samples`: M.

    References: Strens, *A Bayesian framework for reinforcement learning*, 2000 (M = 1). Osband & Van Roy, *Why is posterior
    sampling better than optimism for reinforcement learning?*, 2017.
    """

    samples: int = 10

    def __check_init__(self):
        if self.samples < 1:
            raise InputError(f"OPSRL(samples={self.samples}): there is nothing to take the maximum of; give samples >= 1.")

    def values(self, belief: AbstractBelief, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        return jax.vmap(belief.drawn)(jax.random.split(key, self.samples)).max(0)
