"""Returns and advantages of one sequence of episodes, leading axis time.

A sequence may contain many episodes, and may begin and end within an episode. If an episode ends at step t, step t + 1
holds its last observation (see `farback.envs.AutoResetState`). After a truncation, returns bootstrap from the value of
that observation; after a termination, they do not. No sum extends into another episode.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from farback.types import Number


class RewardSequence(NamedTuple):
    """The rewards of a sequence of T steps, the ends of its episodes, and value estimates.

    - `reward`: the reward of each step.
    - `terminated`: whether the episode terminated at this step.
    - `ended`: whether the episode terminated or was truncated at this step or before it, so the next step is not a part
      of it.
    - `value`: V of each step, and of the step after the last: T + 1 values.
    """

    reward: Float[Array, " time"]
    terminated: Bool[Array, " time"]
    ended: Bool[Array, " time"]
    value: Float[Array, " time+1"]


def discounted(steps: RewardSequence, gamma: Number) -> Float[Array, " time"]:
    """G_t = r_t + γ r_{t+1} + … up to a termination, bootstrapped from V at a truncation or at the end of the sequence."""
    return gae(steps, gamma, 1.0) + steps.value[:-1]


def gae(steps: RewardSequence, gamma: Number, lam: Number) -> Float[Array, " time"]:
    """Generalised advantage estimation:

        δ_t = r_t + γ V_{t+1} − V_t,      A_t = δ_t + γ λ A_{t+1}

    λ = 0 is the temporal-difference error δ_t, and λ = 1 is G_t − V_t.

    Reference: Schulman et al., *High-dimensional continuous control using generalized advantage estimation*, ICLR 2016.
    """
    error = steps.reward + gamma * jnp.where(steps.terminated, 0, steps.value[1:]) - steps.value[:-1]

    def one(advantage, now):
        error, ended = now
        advantage = error + gamma * lam * jnp.where(ended, 0, advantage)
        return advantage, advantage

    return jax.lax.scan(one, jnp.zeros_like(error[0]), (error, steps.ended), reverse=True)[1]


def n_step(steps: RewardSequence, gamma: Number, count: int) -> Float[Array, " time"]:
    """Advantages from n-step returns:

        A_t = r_t + γ r_{t+1} + … + γ^{k−1} r_{t+k−1} + γ^k V_{t+k} − V_t,      k = count

    The slides of Bartunov use K further steps, k = K + 1. Their factor γ^K before V should be γ^{K+1}.
    """
    ahead = steps.value
    for _ in range(count):
        rest = jnp.where(steps.terminated, 0, jnp.where(steps.ended, steps.value[1:], ahead[1:]))
        ahead = jnp.append(steps.reward + gamma * rest, steps.value[-1])
    return ahead[:-1] - steps.value[:-1]


def episode_return(steps: RewardSequence, first: Bool[Array, " time"]) -> Float[Array, " time"]:
    """Σ_k r_k over all steps of the same episode in the sequence, before and after this step."""

    def one(total, now):
        reward, cut = now
        total = jnp.where(cut, 0, total) + reward
        return total, total

    before = jax.lax.scan(one, jnp.zeros_like(steps.reward[0]), (steps.reward, first))[1]
    after = jax.lax.scan(one, jnp.zeros_like(steps.reward[0]), (steps.reward, steps.ended), reverse=True)[1]
    return before + after - steps.reward


def normalise_advantage(advantage: Float[Array, "*steps"], weight: Float[Array, "*steps"]) -> Float[Array, "*steps"]:
    """Advantages, normalised to mean 0 and standard deviation 1 over the weighted steps."""
    weight = weight / jnp.sum(weight)
    centred = advantage - jnp.sum(weight * advantage)
    return centred / (jnp.sqrt(jnp.sum(weight * centred**2)) + 1e-8)


def explained_variance(
    target: Float[Array, "*steps"], value: Float[Array, "*steps"], weight: Float[Array, "*steps"]
) -> Float[Array, ""]:
    """1 − Var(G − V) / Var(G) over the weighted steps, with targets G and values V. NaN if Var(G) = 0.

    A perfect value function has 1, and a constant one 0.
    """

    def variance(x):
        return jnp.sum(weight * (x - jnp.sum(weight * x)) ** 2)

    weight = weight / jnp.sum(weight)
    total = variance(target)
    return jnp.where(total > 0, 1 - variance(target - value) / jnp.where(total > 0, total, 1), jnp.nan)
