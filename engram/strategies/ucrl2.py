"""Optimism: the best plan in the best world that may still be."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from engram.envs import MDP, AbstractEnv, TabularMDP
from engram.strategies.base import AbstractStrategy, require
from engram.strategies.belief import Values
from engram.strategies.world import World, induct
from engram.types import InputError


class UCRL2(AbstractStrategy):
    """The best plan in the most favourable of the worlds that what was seen does not exclude.

        Q_t[s, a] = μ[s, a] + c √(4 L / n[s, a]) + max_{p ∈ 𝒫[s, a]} Σ_s' p[s'] max_a' Q_{t+1}[s', a']

        𝒫[s, a] = {p : ‖p − P[s, a]‖₁ ≤ c √(4 S L / m[s, a])}

    L = ln(2 S A (k + 1) / δ) in the k-th episode, from 1. P and μ are posterior means; m[s, a] is the sum of the counts of
    the Dirichlet, and n[s, a] the precision of μ[s, a]: what was observed, and what the prior is worth, each as much as one
    observation at least. `c = 0` is `Greedy`. The original has no
    prior, which is `Believing(UCRL2(), TabularMDP(concentration=1e-5, mean=0.0, spread=100.0))`.

    **Arguments:**

    - `scale`: c; 1 is what the theorem asks for, and about 0.3 what serves.
    - `delta`: δ, the chance that the true world is excluded.
    - `faithful`: play as the code behind the tables of Duan et al. (2016) does, in which each step of the induction starts
      from the p of the step that follows it, not from P, so that slack adds up (but where it makes a state certain). At
      the last step, where all states are worth 0, it is the last of them that is made likelier.

    References: Jaksch, Ortner & Auer, *Near-optimal regret bounds for reinforcement learning*, 2010. Osband, *TabulaRL*,
    2016, for episodes.
    """

    scale: float = 0.3
    delta: float = 0.05
    faithful: bool = False

    def __check_init__(self):
        if self.scale < 0:
            raise InputError(f"UCRL2(scale={self.scale}): a distance is 0 or more; give such a scale.")
        if not 0 < self.delta < 1:
            raise InputError(f"UCRL2(delta={self.delta}): that is no chance of being wrong; give one between 0 and 1.")

    def ready(self, env: AbstractEnv, episodes: int) -> "UCRL2":
        require(self, env, TabularMDP)
        return self

    def values(self, belief: World, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        transitions, rewards = belief.mean()
        size = jnp.log(2 * rewards.size * (episode.astype(float) + 2) / self.delta)
        bonus = self.scale * jnp.sqrt(4 * size / jnp.maximum(belief.precision, belief.of_reward))
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
    """Of the distributions p with ‖p − P[s, a]‖₁ ≤ slack[s, a], that with the largest Σ p[s'] values[s'].

    The best state gets slack / 2 more, as far as there is room, and the worst states lose it.
    """
    rank = jnp.argsort(jnp.argsort(values))
    below = (rank[:, None] < rank).astype(float)
    best = (rank == rank.size - 1).astype(float)
    moved = jnp.minimum(slack / 2, 1 - transitions @ best)[..., None]
    left_to_take = jnp.maximum(moved - transitions @ below, 0)
    return jnp.maximum(transitions - left_to_take, 0) + moved * best
