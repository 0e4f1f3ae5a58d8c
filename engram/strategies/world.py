"""What is known of a tabular decision process, and how to plan in one."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from engram.envs import MDP, TabularMDP
from engram.strategies.belief import AbstractBelief, Values


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
        shape = (env.states, env.actions)
        counts = jnp.full((*shape, env.states), env.concentration)
        return cls(counts, jnp.full(shape, env.mean), jnp.full(shape, env.spread**-2), env.noise**-2, env.horizon)

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

    def expected(self) -> Values:
        return plan(MDP(self.counts / self.counts.sum(-1, keepdims=True), self.means), self.horizon)

    def drawn(self, key: PRNGKeyArray) -> Values:
        for_transitions, for_rewards = jax.random.split(key)
        noise = jax.random.normal(for_rewards, self.means.shape)
        transitions = jax.random.dirichlet(for_transitions, self.counts)
        return plan(MDP(transitions, self.means + noise / jnp.sqrt(self.precision)), self.horizon)


def plan(mdp: MDP, horizon: int) -> Values:
    """The optimal values of a known process, by backward induction over the steps of an episode:

    Q_t[s, a] = μ[s, a] + Σ_s' P[s, a, s'] max_a' Q_{t+1}[s', a'],     Q_T = 0
    """

    def back(best, _):
        values = mdp.rewards + mdp.transitions @ best
        return values.max(-1), values

    return jax.lax.scan(back, jnp.zeros(mdp.rewards.shape[0]), None, horizon, reverse=True)[1]
