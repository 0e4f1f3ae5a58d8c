"""The posterior of a tabular MDP, and planning in a known one."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs import MDP, TabularMDP
from farback.ops.random import log_gamma, normal, words
from farback.strategies.belief import AbstractBelief, Values
from farback.types import InputError


class World(AbstractBelief):
    """Dirichlet posteriors of transitions, and Gaussian posteriors of expected rewards, whose noise has a known precision.

    P[s, a] ~ Dirichlet(counts[s, a]),     μ[s, a] ~ N(means[s, a], 1 / precision[s, a])
    """

    counts: Float[Array, "states actions states"]
    means: Float[Array, "states actions"]
    precision: Float[Array, "states actions"]
    reward_precision: float = eqx.field(static=True)
    steps: int = eqx.field(static=True)

    @classmethod
    def from_env(cls, env: TabularMDP) -> "World":
        if env.noise == 0:
            raise InputError(
                "TabularMDP(noise=0): a posterior weighs rewards by the precision of their noise, which would be infinite; "
                "give a small noise > 0."
            )
        shape = (env.states, env.actions)
        counts = jnp.full((*shape, env.states), float(env.concentration))
        precision = jnp.full(shape, float(env.spread)) ** -2.0
        return cls(counts, jnp.full(shape, float(env.mean)), precision, env.noise**-2, env.horizon)

    @property
    def horizon(self) -> int:
        return self.steps

    def state_index(self, observation: Int[Array, ""]) -> Int[Array, ""]:
        return observation

    def update(self, state, action, reward, next_state, ended):
        counts = self.counts.at[state, action, next_state].add((~ended).astype(float))
        precision = self.precision.at[state, action].add(self.reward_precision)
        gain = self.reward_precision / precision[state, action]
        means = self.means.at[state, action].add(gain * (reward - self.means[state, action]))
        return World(counts, means, precision, self.reward_precision, self.steps)

    def mean(self) -> MDP:
        """The posterior mean."""
        return MDP(self.counts / self.counts.sum(-1, keepdims=True), self.means)

    def sample(self, key: PRNGKeyArray) -> MDP:
        """A draw from the posterior."""
        for_transitions, for_rewards = jax.random.split(key)
        noise = normal(words(for_rewards, self.means.size)[0]).reshape(self.means.shape)
        transitions = jax.nn.softmax(log_gamma(for_transitions, self.counts), axis=-1)
        return MDP(transitions, self.means + noise / jnp.sqrt(self.precision))

    def expected(self) -> Values:
        return plan(self.mean(), self.horizon)

    def drawn(self, key: PRNGKeyArray) -> Values:
        return plan(self.sample(key), self.horizon)


def plan(mdp: MDP, horizon: int) -> Values:
    """The optimal action values of a known MDP, by backward induction over the steps of an episode:

    Q_t[s, a] = μ[s, a] + Σ_s' P[s, a, s'] max_a' Q_{t+1}[s', a'],     Q_T = 0
    """
    _check(mdp, horizon)
    return induct(lambda mdp, best, left: (mdp, mdp.rewards + mdp.transitions @ best), mdp, horizon)


def induct(backup: Callable[[MDP, Array, Array], tuple[MDP, Array]], mdp: MDP, horizon: int) -> Values:
    """Backward induction: the action values of each step, from the best values of the next step.

    **Arguments:**

    - `backup`: maps (mdp, max_a' Q_{t+1}[s', a'], T − 1 − t) to (the MDP for the step before, Q_t).
    """

    def back(running, left):
        mdp, values = backup(running[0], running[1], left)
        return (mdp, values.max(-1)), values

    start = (mdp, jnp.zeros(mdp.rewards.shape[0]))
    return jax.lax.scan(back, start, jnp.arange(horizon)[::-1].astype(float), reverse=True)[1]


def _check(mdp: MDP, horizon: int) -> None:
    states_actions = mdp.rewards.shape
    if len(states_actions) != 2 or mdp.transitions.shape != (*states_actions, states_actions[0]):
        raise InputError(
            f"MDP.transitions has shape {mdp.transitions.shape} and MDP.rewards {states_actions}: give [states, actions, "
            f"states] and [states, actions]."
        )
    if horizon < 1:
        raise InputError(f"plan(horizon={horizon}): an episode has at least 1 step; give horizon >= 1.")
    if isinstance(mdp.transitions, Tracer):
        return
    probabilities = np.asarray(mdp.transitions)
    bad = np.argwhere(~((probabilities >= 0).all(-1) & (abs(probabilities.sum(-1) - 1) < 1e-4)))
    if len(bad):
        raise InputError(
            f"MDP.transitions[{bad[0][0]}, {bad[0][1]}] is no distribution: probabilities are not negative and sum to 1; "
            f"divide each row by its sum."
        )
