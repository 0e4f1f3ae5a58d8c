"""Returns and advantages of one sequence of episodes, leading axis time.

A sequence may hold many episodes, and begin and end within one. An episode that ended at step t shows its last observation
at step t + 1 (see `engram.envs.Play`), whose value is there for whoever was broken off: after truncation the value of the
next step is counted on, and after termination nothing is. No sum reaches from one episode into the next.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from engram.types import Number


class Rewarded(NamedTuple):
    """What came of the steps of a sequence.

    - `reward`
    - `terminated`: whether the episode ended by itself at this step.
    - `ended`: whether it ended at all, or was over before, so that the next step is none of its own.
    - `value`: what is expected of each step on, and of the one after the last: T + 1 of them.
    """

    reward: Float[Array, " time"]
    terminated: Bool[Array, " time"]
    ended: Bool[Array, " time"]
    value: Float[Array, " time+1"]


def discounted(steps: Rewarded, gamma: Number) -> Float[Array, " time"]:
    """G_t = r_t + γ r_{t+1} + … to the end of the episode; where the sequence ends before it, V stands for the rest."""
    return gae(steps, gamma, 1.0) + steps.value[:-1]


def gae(steps: Rewarded, gamma: Number, lam: float) -> Float[Array, " time"]:
    """Generalised advantages:

        δ_t = r_t + γ V_{t+1} − V_t,      A_t = δ_t + γ λ A_{t+1}

    λ = 0 is the error of one step, λ = 1 the return minus the value, G_t − V_t.

    Reference: Schulman et al., *High-dimensional continuous control using generalized advantage estimation*, ICLR 2016.
    """
    error = steps.reward + gamma * jnp.where(steps.terminated, 0, steps.value[1:]) - steps.value[:-1]

    def one(advantage, now):
        error, ended = now
        advantage = error + gamma * lam * jnp.where(ended, 0, advantage)
        return advantage, advantage

    return jax.lax.scan(one, jnp.zeros_like(error[0]), (error, steps.ended), reverse=True)[1]


def look_ahead(steps: Rewarded, gamma: Number, count: int) -> Float[Array, " time"]:
    """Advantages by `count` steps and the value that follows them:

        A_t = r_t + γ r_{t+1} + … + γ^{k−1} r_{t+k−1} + γ^k V_{t+k} − V_t,      k = count

    The slides of Bartunov look K steps further than the present one, so that k = K + 1, and have γ^K before V, by mistake.
    """
    ahead = steps.value
    for _ in range(count):
        rest = jnp.where(steps.terminated, 0, jnp.where(steps.ended, steps.value[1:], ahead[1:]))
        ahead = jnp.append(steps.reward + gamma * rest, steps.value[-1])
    return ahead[:-1] - steps.value[:-1]


def whole(steps: Rewarded, first: Bool[Array, " time"]) -> Float[Array, " time"]:
    """Σ_k r_k, over all of the steps of its episode that the sequence holds, before and after."""

    def one(total, now):
        reward, cut = now
        total = jnp.where(cut, 0, total) + reward
        return total, total

    before = jax.lax.scan(one, jnp.zeros_like(steps.reward[0]), (steps.reward, first))[1]
    after = jax.lax.scan(one, jnp.zeros_like(steps.reward[0]), (steps.reward, steps.ended), reverse=True)[1]
    return before + after - steps.reward


def standardised(advantage: Float[Array, "*steps"], weight: Float[Array, "*steps"]) -> Float[Array, "*steps"]:
    """Advantages with mean 0 and deviation 1, over steps that count by their weights."""
    weight = weight / jnp.sum(weight)
    centred = advantage - jnp.sum(weight * advantage)
    return centred / (jnp.sqrt(jnp.sum(weight * centred**2)) + 1e-8)
