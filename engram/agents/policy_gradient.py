"""Recurrent policy gradients: the gradient of log π, times whatever says how good an action was.

    ∇J ≈ E Σ_t Ψ_t ∇ log π(a_t | m_t),      m_t = mem(m_{t−1}, o_t)

The memory is a part of the policy, so the gradient passes through it, by an estimator.

Reference: Bartunov, *Recurrent policy gradients*, slides; Sutton et al., NIPS 1999; Wierstra et al., 2010; Schulman et al.,
ICLR 2016.
"""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from engram.agents.base import AbstractAgent, Acting, Played, check_discount
from engram.agents.distributions import distribution
from engram.agents.ramp import Ramp, settled
from engram.descent import descend
from engram.envs.base import AbstractEnv
from engram.estimators.base import AbstractEstimator
from engram.objectives.returns import Rewarded, discounted, gae, look_ahead, whole
from engram.step import Model
from engram.types import Carry, InputError, Number, Outcome, Tally


class Judged(NamedTuple):
    """What the steps of a sequence are charged for: Ψ, and what their values should have been."""

    psi: Float[Array, " time"]
    value: Float[Array, " time"]


class AbstractPsi(eqx.Module):
    """How good the actions of a sequence of episodes were."""

    @abstractmethod
    def __call__(self, steps: Rewarded, first: Bool[Array, " time"], gamma: Number) -> Judged:
        """Ψ, and what the values are to be learnt from."""


class Whole(AbstractPsi):
    """Ψ_t = Σ_k r_k, of the whole episode, undiscounted: also of the rewards before the action, which it could not change.

    Only whole episodes have a whole return: give rollouts that end where episodes do.
    """

    def __call__(self, steps: Rewarded, first: Bool[Array, " time"], gamma: Number) -> Judged:
        return Judged(whole(steps, first), discounted(steps, gamma))


class ToGo(AbstractPsi):
    """Ψ_t = G_t = r_t + γ r_{t+1} + …, of what came after the action."""

    def __call__(self, steps: Rewarded, first: Bool[Array, " time"], gamma: Number) -> Judged:
        returns = discounted(steps, gamma)
        return Judged(returns, returns)


class Advantage(AbstractPsi):
    """Ψ_t = G_t − V(m_t) with λ = 1, and the generalised advantage Σ_l (γ λ)^l δ_{t+l} otherwise.

    The values learn from Ψ_t + V(m_t).
    """

    lam: float = 1.0

    def __check_init__(self):
        if not 0 <= self.lam <= 1:
            raise InputError(f"Advantage(lam={self.lam}): λ weighs one error against the next; give 0 to 1.")

    def __call__(self, steps: Rewarded, first: Bool[Array, " time"], gamma: Number) -> Judged:
        advantage = gae(steps, gamma, self.lam)
        return Judged(advantage, advantage + steps.value[:-1])


class LookAhead(AbstractPsi):
    """Ψ_t = r_t + … + γ^{k−1} r_{t+k−1} + γ^k V(m_{t+k}) − V(m_t): A2C's advantage.

    The values learn from the same.
    """

    count: int

    def __check_init__(self):
        if self.count < 1:
            raise InputError(f"LookAhead({self.count}): there is the reward of 1 step at least; give count >= 1.")

    def __call__(self, steps: Rewarded, first: Bool[Array, " time"], gamma: Number) -> Judged:
        advantage = look_ahead(steps, gamma, self.count)
        return Judged(advantage, advantage + steps.value[:-1])


class Immediate(AbstractPsi):
    """Ψ_t = r_t: an action is judged by its own reward.

    This is biased. What actions do to the world is forgotten; but what earlier steps wrote into the memory is not, as the
    gradient passes through it. It is right where the world takes no notice of actions, as in contextual bandits.
    """

    def __call__(self, steps: Rewarded, first: Bool[Array, " time"], gamma: Number) -> Judged:
        return Judged(steps.reward, discounted(steps, gamma))


class Charged(NamedTuple):
    """What a step is charged for: an action, how good it was, what its value should have been, and how much it counts."""

    action: PyTree
    psi: Float[Array, "*steps"]
    value: Float[Array, "*steps"]
    weight: Float[Array, "*steps"]


class PolicyGradient(AbstractAgent):
    """One step of an optimiser on each rollout, down

        mean_t [ −Ψ_t log π(a_t | m_t) + c_V (V(m_t) − G_t)² / 2 − c_H H(π(· | m_t)) ],

    Ψ and G being constants. Steps in which nothing can be done count for nothing.

    **Arguments:**

    - `psi`: how good actions were.
    - `gamma`: γ, the discount. Its powers do not weigh the steps, as is usual.
    - `value_cost`: c_V; where policy and value share no memory, it is a matter of the value's step size alone.
    - `entropy_cost`: c_H.
    """

    env: AbstractEnv
    estimator: AbstractEstimator
    optimiser: optax.GradientTransformation
    psi: AbstractPsi = Advantage()
    gamma: float | Ramp = 0.99
    value_cost: float = 0.5
    entropy_cost: float | Ramp = 0.0

    def __check_init__(self):
        check_discount(self.gamma)

    def targets(self, played: Played) -> Charged:
        gamma = settled(self.gamma)
        judged = jax.vmap(lambda steps, first: self.psi(steps, first, gamma))(played.rewarded, played.steps.first)
        return Charged(played.steps.action, judged.psi, judged.value, played.weight)

    def loss(self, output, target: Charged) -> tuple[Float[Array, ""], dict[str, Tally]]:
        policy, (value,) = output
        chances = distribution(self.env.action_space, policy)
        surrogate, error = -target.psi * chances.log_prob(target.action), (value - target.value) ** 2 / 2
        entropy = chances.entropy()
        said = {"losses/policy": surrogate, "losses/value": error, "losses/entropy": entropy}
        loss = surrogate + self.value_cost * error - settled(self.entropy_cost) * entropy
        return target.weight * loss, {name: Tally(target.weight * term, target.weight) for name, term in said.items()}

    def learn(self, state: Acting, played: Played, key: PRNGKeyArray) -> tuple[Model, PyTree, Carry, Outcome]:
        window = played.window(self.targets(played))
        gradient, carry, outcome = self.estimator.gradient(self.step, state.model, state.carry, window, key)
        return *descend(self.optimiser, state.model, state.optimiser, gradient, outcome.loss), carry, outcome
