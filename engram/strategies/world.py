"""What is known of a tabular decision process, and how to plan in one."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from engram.chance import log_gamma, normal, words
from engram.envs import MDP, TabularMDP
from engram.strategies.belief import AbstractBelief, Values
from engram.types import InputError


class World(AbstractBelief):
    """Dirichlet posteriors of transitions, and Gaussian ones of expected rewards, whose noise has a known precision.

    P[s, a] ~ Dirichlet(counts[s, a]),     μ[s, a] ~ N(means[s, a], 1 / precision[s, a])
    """

    counts: Float[Array, "states actions states"]
    means: Float[Array, "states actions"]
    precision: Float[Array, "states actions"]
    of_reward: float = eqx.field(static=True)
    steps: int = eqx.field(static=True)

    @classmethod
    def of(cls, env: TabularMDP) -> "World":
        if env.noise == 0:
            raise InputError(
                "TabularMDP(noise=0): a belief weighs rewards by the precision of their noise, which is infinite; give "
                "noise > 0, however small."
            )
        shape = (env.states, env.actions)
        counts = jnp.full((*shape, env.states), float(env.concentration))
        precision = jnp.full(shape, float(env.spread)) ** -2.0
        return cls(counts, jnp.full(shape, float(env.mean)), precision, env.noise**-2, env.horizon)

    @property
    def horizon(self) -> int:
        return self.steps

    def place(self, seen: Int[Array, ""]) -> Int[Array, ""]:
        return seen

    def learn(self, place, action, reward, following, ended):
        counts = self.counts.at[place, action, following].add((~ended).astype(float))
        precision = self.precision.at[place, action].add(self.of_reward)
        gain = self.of_reward / precision[place, action]
        means = self.means.at[place, action].add(gain * (reward - self.means[place, action]))
        return World(counts, means, precision, self.of_reward, self.steps)

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
    """The optimal values of a known process, by backward induction over the steps of an episode:

    Q_t[s, a] = μ[s, a] + Σ_s' P[s, a, s'] max_a' Q_{t+1}[s', a'],     Q_T = 0
    """
    _check(mdp, horizon)
    return induct(lambda mdp, best, left: (mdp, mdp.rewards + mdp.transitions @ best), mdp, horizon)


def induct(backup: Callable[[MDP, Array, Array], tuple[MDP, Array]], mdp: MDP, horizon: int) -> Values:
    """Backward induction: the values of each step, from those of the best actions of the next.

    **Arguments:**

    - `backup`: takes a process, max_a' Q_{t+1}[s', a'] and how many steps follow, T − 1 − t; returns Q_t, and before it
      the process for the step before.
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
        raise InputError(f"plan(horizon={horizon}): there is no step to plan for; give horizon >= 1.")
    if isinstance(mdp.transitions, Tracer):
        return
    chances = np.asarray(mdp.transitions)
    bad = np.argwhere(~((chances >= 0).all(-1) & (abs(chances.sum(-1) - 1) < 1e-4)))
    if len(bad):
        raise InputError(
            f"MDP.transitions[{bad[0][0]}, {bad[0][1]}] is no distribution: its chances are to be 0 or more and to sum to "
            f"one; divide each row by its sum."
        )
