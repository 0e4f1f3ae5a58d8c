"""The factor Ψ of the policy gradient: estimates of how good an action was.

    ∇J ≈ E Σ_t Ψ_t ∇ log π(a_t | m_t)

Reference: Schulman et al., *High-dimensional continuous control using generalized advantage estimation*, ICLR 2016, eq. 1.
"""

from abc import abstractmethod
from typing import NamedTuple

from jaxtyping import Array, Bool, Float

from farback.ops.returns import RewardSequence, discounted, episode_return, gae, n_step
from farback.ops.schedules import AbstractHyperparameter
from farback.types import InputError, Number


class AdvantageTargets(NamedTuple):
    """Ψ of each step of a sequence, and the target of its value."""

    psi: Float[Array, " time"]
    value: Float[Array, " time"]


class AbstractPsi(AbstractHyperparameter):
    """The factor Ψ_t of ∇ log π(a_t | m_t)."""

    @abstractmethod
    def __call__(self, steps: RewardSequence, first: Bool[Array, " time"], gamma: Number) -> AdvantageTargets:
        """Returns Ψ and the value targets of one sequence."""


class EpisodeReturn(AbstractPsi):
    """Ψ_t = Σ_k r_k: the undiscounted return of the whole episode, including rewards before the action.

    Needs rollouts that begin and end with episodes.
    """

    def __call__(self, steps: RewardSequence, first: Bool[Array, " time"], gamma: Number) -> AdvantageTargets:
        return AdvantageTargets(episode_return(steps, first), discounted(steps, gamma))


class RewardToGo(AbstractPsi):
    """Ψ_t = G_t = r_t + γ r_{t+1} + …: the return from the action on, without a baseline."""

    def __call__(self, steps: RewardSequence, first: Bool[Array, " time"], gamma: Number) -> AdvantageTargets:
        returns = discounted(steps, gamma)
        return AdvantageTargets(returns, returns)


class GAE(AbstractPsi):
    """Generalised advantages: Ψ_t = Σ_l (γ λ)^l δ_{t+l}, which is G_t − V(m_t) for λ = 1.

    The targets of the values are Ψ_t + V(m_t).

    **Arguments:**

    - `lam`: λ, from 0 (one-step errors: least variance) to 1 (returns: no bias).

    Reference: Schulman et al., ICLR 2016.
    """

    lam: float = 1.0

    def __check_init__(self):
        if not 0 <= self.lam <= 1:
            raise InputError(f"GAE(lam={self.lam}): give 0 <= lam <= 1.")

    def __call__(self, steps: RewardSequence, first: Bool[Array, " time"], gamma: Number) -> AdvantageTargets:
        advantage = gae(steps, gamma, self.lam)
        return AdvantageTargets(advantage, advantage + steps.value[:-1])


class NStep(AbstractPsi):
    """n-step advantages, as in A2C: Ψ_t = r_t + … + γ^{k−1} r_{t+k−1} + γ^k V(m_{t+k}) − V(m_t).

    The targets of the values are Ψ_t + V(m_t).

    **Arguments:**

    - `count`: k, the number of rewards.

    Reference: Mnih et al., *Asynchronous methods for deep reinforcement learning*, ICML 2016.
    """

    count: int

    def __check_init__(self):
        if self.count < 1:
            raise InputError(f"NStep({self.count}): give count >= 1.")

    def __call__(self, steps: RewardSequence, first: Bool[Array, " time"], gamma: Number) -> AdvantageTargets:
        advantage = n_step(steps, gamma, self.count)
        return AdvantageTargets(advantage, advantage + steps.value[:-1])


class ImmediateReward(AbstractPsi):
    """Ψ_t = r_t: the reward of the action itself.

    Biased: it ignores the effect of actions on the environment. The effect of earlier steps on the memory is kept, because
    the gradient passes through the memory. Use it where actions do not change the environment, as in contextual bandits.
    """

    def __call__(self, steps: RewardSequence, first: Bool[Array, " time"], gamma: Number) -> AdvantageTargets:
        return AdvantageTargets(steps.reward, discounted(steps, gamma))
