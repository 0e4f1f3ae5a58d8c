"""Bayesian exploration bonuses."""

from jaxtyping import Array, Int, PRNGKeyArray

from farback.envs import MDP, AbstractEnv, TabularMDP
from farback.strategies.base import AbstractStrategy, require
from farback.strategies.belief import Values
from farback.strategies.world import World, induct
from farback.types import InputError


class BEB(AbstractStrategy):
    """Bayesian exploration bonus: the optimal plan for the posterior mean, with bonuses for uncertain rewards and
    transitions.

        Q_t[s, a] = μ[s, a] + b / (n[s, a] + 1) + (T − 1 − t) β T / (α[s, a] + 1) + Σ_s' P[s, a, s'] max_a' Q_{t+1}[s', a']

        β = 2 T² · scale

    P and μ are posterior means. α[s, a] is the sum of the Dirichlet counts, and n[s, a] the precision of μ[s, a] in
    units of the precision of one reward, both including the prior. With b = scale = 0 it is `Greedy`. The original
    assumes known rewards, and has one bonus, β / (α + 1). This is the form of the tables in Duan et al. (2016), where
    b = 1 is not scaled.

    **Arguments:**

    - `scale`: the factor on the bonus for transitions. The theorem needs 1; in practice 10⁻⁴ to 10⁻³ work best.
    - `bonus`: b, the bonus for rewards, in units of reward.

    References: Kolter & Ng, *Near-Bayesian exploration in polynomial time*, 2009. Osband, *TabulaRL*, 2016.
    """

    scale: float = 1e-3
    bonus: float = 1.0

    def __check_init__(self):
        if self.scale < 0 or self.bonus < 0:
            raise InputError(f"BEB(scale={self.scale}, bonus={self.bonus}): a bonus is not negative; give 0 or more.")

    def ready(self, env: AbstractEnv, episodes: int) -> "BEB":
        require(self, env, TabularMDP)
        return self

    def values(self, belief: World, episode: Int[Array, ""], key: PRNGKeyArray) -> Values:
        transitions, rewards = belief.mean()
        rewards = rewards + self.bonus / (belief.precision / belief.reward_precision + 1)
        later = 2 * belief.horizon**3 * self.scale / (belief.counts.sum(-1) + 1)

        def backup(mdp, best, left):
            return mdp, mdp.rewards + left * later + mdp.transitions @ best

        return induct(backup, MDP(transitions, rewards), belief.horizon)
