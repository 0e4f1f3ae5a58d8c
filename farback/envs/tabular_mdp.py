"""Random Markov decision processes that are small enough for tables."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from farback.envs.base import AbstractEnv, Feedback
from farback.ops.random import normal, unit
from farback.types import InputError


class MDP(NamedTuple):
    """A Markov decision process.

    - `transitions`: P[s, a, s'], the probability that action a leads from state s to s'.
    - `rewards`: μ[s, a], the expected reward of action a in state s.
    """

    transitions: Float[Array, "states actions states"]
    rewards: Float[Array, "states actions"]


class TabularMDPState(NamedTuple):
    """The seed of this world's P and μ, whose rows are drawn when needed; the state s; and the time in this episode."""

    world: UInt32[Array, "2"]
    state: Int[Array, ""]
    time: Int[Array, ""]


class TabularMDP(AbstractEnv):
    """S states and A actions, with transitions and rewards drawn for each world:

        P[s, a] ~ Dirichlet(α, …, α),     μ[s, a] ~ N(m, s²),     r ~ N(μ[s, a], σ²)

    An episode begins in state 0 and has T steps. Episodes in the same world (`Trials`) share P and μ. The state is
    observed; the time is not.

        memoryless = random = m T

    **Arguments:**

    - `states`, `actions`, `horizon`: S, A and T, the numbers of states, actions and steps of an episode.
    - `concentration`: α of the prior of transitions.
    - `mean`, `spread`: m and s, the mean and the standard deviation of the prior of rewards.
    - `noise`: σ, the standard deviation of rewards.

    Reference: Duan et al., *RL²: fast reinforcement learning via slow reinforcement learning*, 2016, section 3.2.
    """

    states: int = 10
    actions: int = 5
    horizon: int = 10
    concentration: float = 1.0
    mean: float = 1.0
    spread: float = 1.0
    noise: float = 1.0

    def __check_init__(self):
        if min(self.states, self.actions, self.horizon) < 1:
            raise InputError(
                f"TabularMDP(states={self.states}, actions={self.actions}, horizon={self.horizon}): give at least 1 "
                f"of each."
            )
        if not self.concentration > 0:
            raise InputError(
                f"TabularMDP(concentration={self.concentration}): a Dirichlet distribution needs a positive parameter; "
                f"give a number above 0."
            )
        if not (self.spread >= 0 and self.noise >= 0):
            raise InputError(
                f"TabularMDP(spread={self.spread}, noise={self.noise}): these are standard deviations; give 0 or more."
            )

    @property
    def observation_space(self) -> Discrete:
        return Discrete(self.states)

    @property
    def action_space(self) -> Discrete:
        return Discrete(self.actions)

    @property
    def max_episode_steps(self) -> int:
        return self.horizon

    @property
    def memoryless(self) -> float:
        return self.mean * self.horizon

    @property
    def random(self) -> float:
        return self.memoryless

    def reset(self, key: PRNGKeyArray) -> TabularMDPState:
        return self._start(jax.random.key_data(key))

    def mdp(self, state: TabularMDPState) -> MDP:
        """Returns the decision process of this world."""
        states, actions = jnp.arange(self.states), jnp.arange(self.actions)
        return MDP(*jax.vmap(lambda s: jax.vmap(lambda a: self._row(state.world, s, a))(actions))(states))

    def reset_same_world(self, state: TabularMDPState, key: PRNGKeyArray) -> TabularMDPState:
        del key
        return self._start(state.world)

    def observe(self, state: TabularMDPState) -> Int[Array, ""]:
        return state.state

    def step(self, state: TabularMDPState, action: Int[Array, ""], key: PRNGKeyArray) -> tuple[TabularMDPState, Feedback]:
        words = jax.random.key_data(key)
        probabilities, reward = self._row(state.world, state.state, action)
        reward = reward + self.noise * normal(words[0])
        state_index = jnp.minimum((jnp.cumsum(probabilities) <= unit(words[1])).sum(), self.states - 1)
        following = TabularMDPState(state.world, state_index, state.time + 1)
        return following, Feedback(reward, following.time == self.horizon, jnp.array(False))

    def render_text(self, state: TabularMDPState) -> str:
        rewards = " ".join(f"{reward:.1f}" for reward in np.asarray(self.mdp(state).rewards)[int(state.state)])
        return f"state {int(state.state)}, expected rewards {rewards}"

    def _start(self, world: UInt32[Array, "2"]) -> TabularMDPState:
        return TabularMDPState(world, jnp.zeros((), int), jnp.zeros((), int))

    def _row(self, world, state, action):
        """P[state, action] and μ[state, action]."""
        key = jax.random.fold_in(jax.random.wrap_key_data(world), state * self.actions + action)
        key, for_transitions = jax.random.split(key)
        if self.concentration == 1:
            shares = jax.random.exponential(for_transitions, (self.states,))
        else:
            shares = jax.random.gamma(for_transitions, self.concentration, (self.states,))
        return shares / shares.sum(), self.mean + self.spread * normal(jax.random.key_data(key)[0])
