"""The baseline that makes the policy gradient least noisy, one for each parameter.

Reference: Peters and Schaal, *Reinforcement learning of motor skills with policy gradients*, 2008; Bartunov's slides.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from engram.agents.base import AbstractAgent, Acting, Played, check_discount
from engram.agents.distributions import distribution
from engram.agents.policy_gradient import Charged
from engram.agents.ramp import Ramp, settled
from engram.descent import descend
from engram.envs.base import AbstractEnv
from engram.estimators.base import AbstractEstimator
from engram.objectives.returns import discounted
from engram.step import Model
from engram.types import Carry, InputError, Outcome, Tally, Window


class OptimalBaseline(AbstractAgent):
    """The policy gradient Σ_t (G_t − b_j) ∂_j log π(a_t | m_t), with a baseline for each parameter θ_j,

        b_j = E[G_t (∂_j log π)²] / E[(∂_j log π)²],      G_t = r_t + γ r_{t+1} + …

    of which none makes the estimate less noisy, if steps were independent. The means are over the other sequences of the
    rollout, so that the gradient stays unbiased. No value is learnt: where a rollout ends, so do its returns; give rollouts
    that end where episodes do.

    Each step of each sequence needs a gradient of its own: a rollout of T steps costs T times as much as with
    `PolicyGradient`.

    **Arguments:**

    - `gamma`: γ.
    """

    env: AbstractEnv
    estimator: AbstractEstimator
    optimiser: optax.GradientTransformation
    gamma: float | Ramp = 0.99

    def __check_init__(self):
        check_discount(self.gamma)

    def init(self, model: Model, batch: int, *, key: PRNGKeyArray) -> Acting:
        if batch < 2:
            raise InputError(f"batch={batch}: a baseline is made from the other sequences; give batch >= 2.")
        return super().init(model, batch, key=key)

    def targets(self, played: Played) -> Charged:
        steps = played.rewarded
        returns = jax.vmap(lambda steps: discounted(steps, settled(self.gamma)))(steps._replace(value=0 * steps.value))
        return Charged(played.steps.action, returns, returns, played.weight)

    def loss(self, output, target: Charged) -> tuple[Float[Array, ""], dict[str, Tally]]:
        """The log-probability itself."""
        chances = distribution(self.env.action_space, output[0])
        log_prob, weight = chances.log_prob(target.action), target.weight
        said = {"losses/policy": -target.psi * log_prob, "losses/entropy": chances.entropy()}
        return weight * log_prob, {name: Tally(weight * term, weight) for name, term in said.items()}

    def learn(self, state: Acting, played: Played, key: PRNGKeyArray) -> tuple[Model, PyTree, Carry, Outcome]:
        window = played.window(self.targets(played))
        _, carry, outcome = self.estimator.gradient(self.step, state.model, state.carry, window, key)
        keys = jax.random.split(key, len(window.first))
        sums = jax.lax.map(lambda one: self.sums(state.model, *one), (state.carry, window, keys))
        gradient = jax.tree.map(lambda *each: -jnp.mean(least_noisy(*each), axis=0), *sums)
        return *descend(self.optimiser, state.model, state.optimiser, gradient, outcome.loss), carry, outcome

    def sums(self, model: Model, carry: Carry, window: Window, key: PRNGKeyArray) -> tuple[Model, Model, Model, Model]:
        """Σ_t of g, G g, g² and G g², where g is the score ∇ log π of a step of one sequence."""
        carry, window = jax.tree.map(lambda leaf: leaf[None], (carry, window))
        steps = window.first.shape[1]

        def add(sums, now):
            time, key = now
            weight = jnp.where(jnp.arange(steps) == time, window.targets.weight, 0)
            asked = Window(window.first, window.inputs, window.targets._replace(weight=weight))
            score = self.estimator.gradient(self.step, model, carry, asked, key)[0]
            worth = window.targets.psi[0, time]
            terms = [
                jax.tree.map(of, score) for of in (lambda g: g, lambda g: worth * g, jnp.square, lambda g: worth * g**2)
            ]
            return tuple(jax.tree.map(jnp.add, *pair) for pair in zip(sums, terms, strict=True)), None

        nothing = jax.tree.map(jnp.zeros_like, eqx.filter(model, eqx.is_inexact_array))
        return jax.lax.scan(add, (nothing,) * 4, (jnp.arange(steps), jax.random.split(key, steps)))[0]


def least_noisy(
    score: Float[Array, "batch *shape"],
    worth: Float[Array, "batch *shape"],
    square: Float[Array, "batch *shape"],
    worth_square: Float[Array, "batch *shape"],
) -> Float[Array, "batch *shape"]:
    """Σ_t (G − b) g of each sequence, with b = Σ G g² / Σ g² over all the others."""
    others = jnp.sum(square, axis=0) - square
    baseline = jnp.where(others > 0, (jnp.sum(worth_square, axis=0) - worth_square) / jnp.where(others > 0, others, 1), 0)
    return worth - baseline * score
