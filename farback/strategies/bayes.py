"""The Bayes-optimal policy for few pulls of two arms."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs import AbstractEnv, Bandit
from farback.strategies.arms import BernoulliArms
from farback.strategies.base import AbstractStrategy, require
from farback.strategies.belief import Values
from farback.types import InputError

LIMIT = 50
"""The largest number n of episodes. The table has n⁴ numbers, 25 MB in float32."""


class BayesOptimal(AbstractStrategy):
    """The Bayes-optimal policy for the sum of the rewards of n pulls of two arms, by dynamic programming:

        V_t(s) = max_i  p_i (1 + V_{t+1}(s + a win of i)) + (1 − p_i) V_{t+1}(s + a loss of i),     V_n = 0

    where s is the wins and losses of both arms. Use it as the reference for other strategies. With more than two arms, or
    more than 50 pulls, there are too many states.

    Reference: Bradt, Johnson & Karlin, *On sequential designs for maximizing the sum of n observations*, 1956.
    """

    table: Float[Array, "episodes won lost won_with_second"] | None = None
    """Computed by `ready`: the value of the first arm minus that of the second, by the wins and losses so far."""

    def ready(self, env: AbstractEnv, episodes: int) -> "BayesOptimal":
        return BayesOptimal(jnp.asarray(two_arms(env, episodes)[1]))

    def values(self, belief: BernoulliArms, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        if self.table is None:
            raise InputError("BayesOptimal has no plan yet: play the strategy that ready(env, episodes) returns.")
        won, lost = belief.observed()
        better = self.table[episode, won[0], lost[0], won[1]]
        return jnp.stack((better, jnp.zeros_like(better)))[None, None]


def two_arms(env: AbstractEnv, episodes: int) -> tuple[float, Float[np.ndarray, "episodes won lost won_with_second"]]:
    """Returns (value, table): the expected sum of rewards of `BayesOptimal` in `episodes` pulls, and its table."""
    env = require(BayesOptimal(), env, Bandit)
    if env.arms != 2:
        raise InputError(f"BayesOptimal plays two arms, not {env.arms}: use Gittins, which is nearly optimal.")
    if episodes > LIMIT:
        raise InputError(
            f"BayesOptimal plays at most {LIMIT} episodes, not {episodes}: its table of episodes⁴ numbers would take "
            f"{4e-9 * episodes**4:.1g} GB. Use Gittins, which is nearly optimal."
        )
    table = np.zeros((episodes,) * 4)
    best = np.zeros((episodes + 1,) * 3)
    for episode in reversed(range(episodes)):
        won, lost, other_won = np.indices((episode + 1,) * 3)
        other_lost = np.maximum(0, episode - won - lost - other_won)
        p = (env.wins + won) / (env.wins + env.losses + won + lost)
        q = (env.wins + other_won) / (env.wins + env.losses + other_won + other_lost)
        first = p * (1 + best[1:, :-1, :-1]) + (1 - p) * best[:-1, 1:, :-1]
        second = q * (1 + best[:-1, :-1, 1:]) + (1 - q) * best[:-1, :-1, :-1]
        table[episode, : episode + 1, : episode + 1, : episode + 1] = first - second
        best = np.maximum(first, second)
    return float(best[0, 0, 0]), table
