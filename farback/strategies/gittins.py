"""The Gittins index."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs import AbstractEnv, Bandit
from farback.strategies.arms import BernoulliArms
from farback.strategies.base import AbstractStrategy, require
from farback.strategies.belief import Values
from farback.types import InputError

BLOCK = 100
"""The number of grid intervals computed at once: so small that most arms lie far from the whole block."""


class Gittins(AbstractStrategy):
    """The arm with the largest Gittins index, which is optimal for the discounted reward of an infinite trial.

        index = sup_τ E Σ_{t<τ} γᵗ r_t / E Σ_{t<τ} γᵗ

    over stopping times τ. The index is the reward of a known arm that is equally good. γ → 0 is `Greedy`. For trials of n
    episodes, γ = 1 − 1/n is a good choice. `ready` computes the indices, in seconds.

    **Arguments:**

    - `gamma`: γ, the discount.

    Reference: Gittins, *Bandit processes and dynamic allocation indices*, 1979.
    """

    gamma: float = 0.99
    table: Float[Array, "won lost"] | None = None
    """The indices, computed by `ready`."""

    def __check_init__(self):
        if not 0 < self.gamma < 1:
            raise InputError(f"Gittins(gamma={self.gamma}): the sums of rewards would not converge; give 0 < gamma < 1.")

    def ready(self, env: AbstractEnv, episodes: int) -> "Gittins":
        env = require(self, env, Bandit)
        return Gittins(self.gamma, jnp.asarray(gittins(env.wins, env.losses, self.gamma, episodes)))

    def values(self, belief: BernoulliArms, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        if self.table is None:
            raise InputError("Gittins has no indices yet: play the strategy that ready(env, episodes) returns.")
        return self.table[belief.observed()][None, None]


def gittins(
    wins: float, losses: float, gamma: float, pulls: int, *, grid: int = 2000, beyond: int | None = None
) -> np.ndarray:
    """The Gittins indices of a Bernoulli arm with the prior Beta(wins, losses).

    Returns an array [won, lost] of the indices of the states after fewer than `pulls` pulls; other entries are NaN.

    The method is calibration. With the option to retire to a known arm with reward λ, the advantage of an arm of mean p is

        g(s) = max(0, f(s)),     f(s) = p − λ + γ (p g(s after a win) + (1 − p) g(s after a loss))

    by backward induction from a pull N at which one of the arms is chosen forever, g = max(0, p − λ) / (1 − γ). The
    index is the λ with f = 0, interpolated between two grid points by the secant, which overestimates it (f is convex).
    The end at N underestimates it. Both errors are below 1e-4 for γ ≤ 0.998. λ = sin² x with x uniform, on which all
    posteriors of n pulls have the same width. Blocks of neighbouring λ are compared only with arms within six standard
    deviations of them; for better arms, g = (p − λ) / (1 − γ).

    **Arguments:**

    - `wins`, `losses`: α and β of the prior.
    - `gamma`: γ, the discount.
    - `pulls`: the largest number of pulls of a trial.
    - `grid`: the number of grid intervals of λ.
    - `beyond`: the number of pulls from the last one to N; by default, until γ^beyond ≤ √N / 200.

    Reference: Gittins, Glazebrook & Weber, *Multi-armed bandit allocation indices*, 2nd edition, 2011, chapter 8.
    """
    if beyond is None:
        beyond = next(m for m in itertools.count(1) if gamma**m <= math.sqrt(pulls + m) / 200)
    end, prior = pulls + beyond, wins + losses
    table = np.full((pulls, pulls), np.nan)
    won = np.arange(end + 2)[:, None]
    for start in range(0, grid, BLOCK):
        known = np.sin(np.pi / 2 * np.arange(start, min(start + BLOCK, grid) + 1) / grid) ** 2

        def near(pulled, known=known):
            """The states after a number of pulls that are near the block, as a half-open range of wins."""
            total = pulled + prior
            far = 3 * math.sqrt(total)
            low, high = known[0] * total - wins - far, known[-1] * total - wins + far
            return min(max(0, math.floor(low)), pulled + 1), max(0, min(math.ceil(high), pulled + 1))

        g = np.zeros((end + 2, len(known)))
        low, high = near(end)
        g[low : high + 1] = np.maximum(0, (wins + won[low : high + 1]) / (prior + end) - known) / (1 - gamma)
        for pulled in reversed(range(end)):
            low, high = near(pulled)
            p = (wins + won[low : high + 1]) / (prior + pulled)
            f = gamma * p[:-1] * g[low + 1 : high + 1]
            f += gamma * (1 - p[:-1]) * g[low:high]
            f += p[:-1] - known
            np.maximum(f, 0, out=g[low:high])
            g[high] = (p[-1] - known) / (1 - gamma)
            if pulled < pulls:
                here = np.flatnonzero((f[:, 0] > 0) & (f[:, -1] <= 0))
                left = (f[here] > 0).sum(1) - 1
                above, below = f[here, left], f[here, left + 1]
                index = known[left] + (known[left + 1] - known[left]) * above / (above - below)
                table[low + here, pulled - low - here] = index
    return table
