"""UCRL2: optimism over a confidence set of MDPs."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs import MDP, AbstractEnv, TabularMDP
from farback.strategies.base import AbstractStrategy, require
from farback.strategies.belief import Values
from farback.strategies.world import World, induct
from farback.types import InputError


class UCRL2(AbstractStrategy):
    """The optimal plan of the most favourable MDP in a confidence set.

        Q_t[s, a] = μ[s, a] + c √(4 L / n[s, a]) + max_{p ∈ 𝒫[s, a]} Σ_s' p[s'] max_a' Q_{t+1}[s', a']

        𝒫[s, a] = {p : ‖p − P[s, a]‖₁ ≤ c √(4 S L / m[s, a])}

    L = ln(2 S A (k + 1) / δ) in the k-th episode, from 1. P and μ are posterior means. m[s, a] is the sum of the Dirichlet
    counts, and n[s, a] the precision of μ[s, a], both including the prior and at least one observation. c = 0 is `Greedy`.
    The original has no prior: `WithPrior(UCRL2(), TabularMDP(concentration=1e-5, mean=0.0, spread=100.0))`.

    **Arguments:**

    - `scale`: c, the scale of the confidence set. The theorem needs 1; in practice about 0.3 works best.
    - `delta`: δ, the probability that the true MDP is not in the set.
    - `faithful`: whether to reproduce the code behind the tables of Duan et al. (2016). Each step of its induction starts
      from the p of the step after it instead of P, so slack accumulates, except where it makes a state certain. At the last
      step, where all states have value 0, it raises the probability of the last state.

    References: Jaksch, Ortner & Auer, *Near-optimal regret bounds for reinforcement learning*, 2010. Osband, *TabulaRL*,
    2016, for episodes.
    """

    scale: float = 0.3
    delta: float = 0.05
    faithful: bool = False

    def __check_init__(self):
        if self.scale < 0:
            raise InputError(f"UCRL2(scale={self.scale}): a distance is not negative; give scale >= 0.")
        if not 0 < self.delta < 1:
            raise InputError(f"UCRL2(delta={self.delta}): delta is a probability; give one between 0 and 1.")

    def ready(self, env: AbstractEnv, episodes: int) -> "UCRL2":
        require(self, env, TabularMDP)
        return self

    def values(self, belief: World, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        transitions, rewards = belief.mean()
        size = jnp.log(2 * rewards.size * (episode.astype(float) + 2) / self.delta)
        bonus = self.scale * jnp.sqrt(4 * size / jnp.maximum(belief.precision, belief.reward_precision))
        slack = self.scale * jnp.sqrt(4 * rewards.shape[0] * size / jnp.maximum(belief.counts.sum(-1), 1.0))

        def backup(mdp, best, left):
            hoped = optimistic(mdp.transitions, best, slack)
            values = mdp.rewards + hoped @ best
            if not self.faithful:
                return mdp, values
            certain = jnp.take(mdp.transitions, jnp.argsort(best)[-1], -1) + slack / 2 > 1
            return MDP(jnp.where(certain[..., None], mdp.transitions, hoped), mdp.rewards), values

        return induct(backup, MDP(transitions, rewards + bonus), belief.horizon)


def optimistic(
    transitions: Float[Array, "states actions states"],
    values: Float[Array, " states"],
    slack: Float[Array, "states actions"],
) -> Float[Array, "states actions states"]:
    """The distribution p with the largest Σ p[s'] values[s'] among those with ‖p − P[s, a]‖₁ ≤ slack[s, a].

    The best state gains slack / 2, up to probability 1, and the worst states lose it.
    """
    rank = jnp.argsort(jnp.argsort(values))
    below = (rank[:, None] < rank).astype(float)
    best = (rank == rank.size - 1).astype(float)
    moved = jnp.minimum(slack / 2, 1 - transitions @ best)[..., None]
    left_to_take = jnp.maximum(moved - transitions @ below, 0)
    return jnp.maximum(transitions - left_to_take, 0) + moved * best
