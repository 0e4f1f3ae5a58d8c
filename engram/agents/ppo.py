"""Proximal policy optimisation, recurrent: several passes over a rollout, in which the policy stays near what it was.

Reference: Schulman et al., *Proximal policy optimization algorithms*, 2017.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from engram.agents.base import AbstractAgent, Acting, Played, check_discount
from engram.agents.distributions import distribution
from engram.agents.ramp import Ramp, settled
from engram.descent import descend
from engram.envs.base import AbstractEnv
from engram.estimators.base import AbstractEstimator
from engram.objectives.returns import gae, standardised
from engram.step import Model, Supervised
from engram.types import Carry, InputError, Outcome, Tally, Window


class Clipped(NamedTuple):
    """What a step is charged for: an action and its log π, its advantage, its value's target, and how much it counts."""

    action: PyTree
    log_prob: Float[Array, "*steps"]
    advantage: Float[Array, "*steps"]
    value: Float[Array, "*steps"]
    weight: Float[Array, "*steps"]


class PPO(AbstractAgent):
    """Several epochs of minibatches of sequences, each a step of an optimiser down

        mean_t [ −min(ρ_t A_t, clip(ρ_t, 1 − ε, 1 + ε) A_t) + c_V (V(m_t) − G_t)² / 2 − c_H H(π(· | m_t)) ],
        ρ_t = π(a_t | m_t) / π_old(a_t | m_t)

    with generalised advantages A, of mean 0 and deviation 1 in each minibatch, and G = A + V before that. A minibatch is of
    whole sequences: memories are computed anew, with the present parameters, from what they were when the rollout began, so
    that ρ is exactly 1 until the parameters move. With `chunk`, sequences are cut, and begin with the memory that was there
    when the agent acted: there are more of them, and they are shorter, but what they remember is of older parameters.

    **Arguments:**

    - `epochs`, `minibatches`: how often a rollout is gone through, and in how many parts.
    - `gamma`, `lam`: γ and λ of the advantages.
    - `clip`: ε.
    - `value_cost`, `entropy_cost`: c_V and c_H.
    - `chunk`: how long sequences are, or as long as the rollout. Forward estimators do without, as they carry a trace.
    """

    env: AbstractEnv
    estimator: AbstractEstimator
    optimiser: optax.GradientTransformation
    epochs: int = 4
    minibatches: int = 4
    gamma: float | Ramp = 0.99
    lam: float = 0.95
    clip: float = 0.2
    value_cost: float = 0.5
    entropy_cost: float | Ramp = 0.01
    chunk: int | None = None

    def __check_init__(self):
        check_discount(self.gamma)
        for name in ("epochs", "minibatches"):
            if getattr(self, name) < 1:
                raise InputError(f"PPO({name}={getattr(self, name)}): give 1 at least.")
        if not 0 <= self.lam <= 1:
            raise InputError(f"PPO(lam={self.lam}): λ weighs one error against the next; give 0 to 1.")
        if self.clip <= 0:
            raise InputError(f"PPO(clip={self.clip}): how far a policy may move is more than 0; give clip > 0.")

    def targets(self, played: Played) -> Clipped:
        advantage = jax.vmap(lambda steps: gae(steps, settled(self.gamma), self.lam))(played.rewarded)
        steps = played.steps
        return Clipped(steps.action, steps.log_prob, advantage, advantage + steps.value, played.weight)

    def loss(self, output, target: Clipped) -> tuple[Float[Array, ""], dict[str, Tally]]:
        policy, (value,) = output
        chances = distribution(self.env.action_space, policy)
        log_ratio = chances.log_prob(target.action) - target.log_prob
        ratio = jnp.exp(log_ratio)
        near = jnp.clip(ratio, 1 - self.clip, 1 + self.clip)
        surrogate = -jnp.minimum(ratio * target.advantage, near * target.advantage)
        error, entropy = (value - target.value) ** 2 / 2, chances.entropy()
        said = {
            "losses/policy": surrogate,
            "losses/value": error,
            "losses/entropy": entropy,
            "losses/divergence": ratio - 1 - log_ratio,
            "losses/clipped": (jnp.abs(ratio - 1) > self.clip).astype(ratio.dtype),
        }
        loss = surrogate + self.value_cost * error - settled(self.entropy_cost) * entropy
        return target.weight * loss, {name: Tally(target.weight * term, target.weight) for name, term in said.items()}

    def learn(self, state: Acting, played: Played, key: PRNGKeyArray) -> tuple[Model, PyTree, Carry, Outcome]:
        carry, window, end = state.carry, played.window(self.targets(played)), None
        if self.chunk is not None:
            carry, window, end = cut(self.step, self.estimator, state.model, carry, window, self.chunk)
        count = window.first.shape[0]
        if count % self.minibatches:
            raise InputError(
                f"PPO(minibatches={self.minibatches}): {count} sequences cannot be shared by as many; give a number that "
                f"divides it."
            )

        def minibatch(running, drawn):
            arrays, optimiser, after = running
            model, (chosen, key) = eqx.combine(arrays, static), drawn
            before, part = jax.tree.map(lambda leaf: leaf[chosen], (carry, window))
            advantage = standardised(part.targets.advantage, part.targets.weight)
            part = Window(part.first, part.inputs, part.targets._replace(advantage=advantage))
            gradient, later, outcome = self.estimator.gradient(self.step, model, before, part, key)
            after = jax.tree.map(lambda whole, part: whole.at[chosen].set(part), after, later)
            model, optimiser = descend(self.optimiser, model, optimiser, gradient, outcome.loss)
            return (eqx.filter(model, eqx.is_array), optimiser, after), outcome

        def epoch(running, key):
            order_key, key = jax.random.split(key)
            order = jax.random.permutation(order_key, count).reshape(self.minibatches, -1)
            return jax.lax.scan(minibatch, running, (order, jax.random.split(key, self.minibatches)))

        arrays, static = eqx.partition(state.model, eqx.is_array)
        start, keys = (arrays, state.optimiser, carry), jax.random.split(key, self.epochs)
        (arrays, optimiser, after), outcomes = jax.lax.scan(epoch, start, keys)
        outcome = Outcome(jnp.mean(outcomes.loss), jax.tree.map(jnp.sum, outcomes.metrics))
        return eqx.combine(arrays, static), optimiser, after if end is None else end, outcome


def cut(
    step: Supervised, estimator: AbstractEstimator, model: Model, carry: Carry, window: Window, length: int
) -> tuple[Carry, Window, Carry]:
    """The pieces of a window as sequences of their own, with the memory that each begins with, and the carry at its end."""
    batch, steps = window.first.shape
    if length < 1 or steps % length:
        raise InputError(f"PPO(chunk={length}): a rollout of {steps} steps cannot be cut so; give a divisor of it.")
    pieces = jax.tree.map(lambda leaf: leaf.reshape(batch, steps // length, length, *leaf.shape[2:]), window)

    def one(memory, piece):
        piece = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), piece)
        return step.unroll(model, memory, piece, jnp.ones(piece.first.shape))[0], memory

    in_turn = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), pieces)
    end, memories = jax.lax.scan(one, carry.state, in_turn)
    memories = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1).reshape(-1, *leaf.shape[2:]), memories)
    pieces = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), pieces)
    return Carry(memories, estimator.init(step, model, pieces).trace), pieces, Carry(end, carry.trace)
