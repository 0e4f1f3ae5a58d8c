"""The best that can be done in few pulls of two arms."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from engram.envs import AbstractEnv, Bandit
from engram.strategies.arms import BernoulliArms
from engram.strategies.base import AbstractStrategy, require
from engram.strategies.belief import Values
from engram.types import InputError

LIMIT = 50
"""Episodes: a table of n⁴ numbers, of 25 MB in float32."""


class BayesOptimal(AbstractStrategy):
    """The best that there is for the sum of the rewards of n pulls of two arms, by dynamic programming:

        V_t(s) = max_i  p_i (1 + V_{t+1}(s + a win of i)) + (1 − p_i) V_{t+1}(s + a loss of i),     V_n = 0

    where s counts the wins and losses of both arms. To judge others by: of more than two arms, or of more than 50 pulls,
    there are too many states.

    Reference: Bradt, Johnson & Karlin, *On sequential designs for maximizing the sum of n observations*, 1956.
    """

    table: Float[Array, "episodes won lost won_with_second"] | None = None
    """What `ready` computes: by how much it is better to pull the first arm, after what was won and lost with it."""

    def ready(self, env: AbstractEnv, episodes: int) -> "BayesOptimal":
        return BayesOptimal(jnp.asarray(two_arms(env, episodes)[1]))

    def values(self, belief: BernoulliArms, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        if self.table is None:
            raise InputError("BayesOptimal has no plan yet: play the strategy that ready(env, episodes) returns.")
        won, lost = belief.seen()
        better = self.table[episode, won[0], lost[0], won[1]]
        return jnp.stack((better, jnp.zeros_like(better)))[None, None]


def two_arms(env: AbstractEnv, episodes: int) -> tuple[float, Float[np.ndarray, "episodes won lost won_with_second"]]:
    """The expected sum of rewards of the best strategy in so many pulls of two arms, and the table of `BayesOptimal`."""
    env = require(BayesOptimal(), env, Bandit)
    if env.arms != 2:
        raise InputError(
            f"BayesOptimal plays two arms, not {env.arms}: for more there is Gittins, which is nearly as good."
        )
    if episodes > LIMIT:
        raise InputError(
            f"BayesOptimal plays {LIMIT} episodes at most, not {episodes}, for which its table of episodes⁴ numbers would "
            f"take {4e-9 * episodes**4:.1g} GB: there is Gittins, which is nearly as good."
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
