"""Decision processes small enough for tables, drawn anew in each world."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from engram.chance import normal, unit
from engram.envs.base import AbstractEnv, Feedback
from engram.types import InputError


class MDP(NamedTuple):
    """A decision process.

    - `transitions`: P[s, a, s'], the chance that action a leads from state s to s'.
    - `rewards`: μ[s, a], the expected reward of action a in state s.
    """

    transitions: Float[Array, "states actions states"]
    rewards: Float[Array, "states actions"]


class Where(NamedTuple):
    """The seed from which the rows of a world are drawn, when they are met; the state in it; the steps of this episode."""

    world: UInt32[Array, "2"]
    place: Int[Array, ""]
    time: Int[Array, ""]


class TabularMDP(AbstractEnv):
    """S states and A actions; what they lead to is drawn for each world:

        P[s, a] ~ Dirichlet(α, …, α),     μ[s, a] ~ N(m, s²),     r ~ N(μ[s, a], σ²)

    An episode begins in state 0 and has T steps. Another episode in the same world (`Trials`) has the same P and μ. The
    state is seen; the time is not.

        memoryless = random = m T

    **Arguments:**

    - `states`, `actions`, `horizon`: S, A, T.
    - `concentration`: α.
    - `mean`, `spread`: m and s.
    - `noise`: σ.

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
                f"TabularMDP(states={self.states}, actions={self.actions}, horizon={self.horizon}): give 1 at least of "
                f"each."
            )
        if not self.concentration > 0:
            raise InputError(
                f"TabularMDP(concentration={self.concentration}): that is no parameter of a Dirichlet distribution; give a "
                f"number above 0."
            )
        if not (self.spread >= 0 and self.noise >= 0):
            raise InputError(
                f"TabularMDP(spread={self.spread}, noise={self.noise}): these are no standard deviations; give 0 or more."
            )

    @property
    def observation_space(self) -> Discrete:
        return Discrete(self.states)

    @property
    def action_space(self) -> Discrete:
        return Discrete(self.actions)

    @property
    def steps(self) -> int:
        return self.horizon

    @property
    def memoryless(self) -> float:
        return self.mean * self.horizon

    @property
    def random(self) -> float:
        return self.memoryless

    def reset(self, key: PRNGKeyArray) -> Where:
        return self._beginning(jax.random.key_data(key))

    def mdp(self, state: Where) -> MDP:
        """The world of a state."""
        places, actions = jnp.arange(self.states), jnp.arange(self.actions)
        return MDP(*jax.vmap(lambda place: jax.vmap(lambda action: self._row(state.world, place, action))(actions))(places))

    def again(self, state: Where, key: PRNGKeyArray) -> Where:
        del key
        return self._beginning(state.world)

    def observe(self, state: Where) -> Int[Array, ""]:
        return state.place

    def step(self, state: Where, action: Int[Array, ""], key: PRNGKeyArray) -> tuple[Where, Feedback]:
        words = jax.random.key_data(key)
        chances, reward = self._row(state.world, state.place, action)
        reward = reward + self.noise * normal(words[0])
        place = jnp.minimum((jnp.cumsum(chances) <= unit(words[1])).sum(), self.states - 1)
        following = Where(state.world, place, state.time + 1)
        return following, Feedback(reward, following.time == self.horizon, jnp.array(False))

    def text(self, state: Where) -> str:
        worth = " ".join(f"{reward:.1f}" for reward in np.asarray(self.mdp(state).rewards)[int(state.place)])
        return f"state {int(state.place)}, whose actions are worth {worth}"

    def _beginning(self, world: UInt32[Array, "2"]) -> Where:
        return Where(world, jnp.zeros((), int), jnp.zeros((), int))

    def _row(self, world, place, action):
        """P[place, action] and μ[place, action]."""
        key = jax.random.fold_in(jax.random.wrap_key_data(world), place * self.actions + action)
        key, for_transitions = jax.random.split(key)
        if self.concentration == 1:
            shares = jax.random.exponential(for_transitions, (self.states,))
        else:
            shares = jax.random.gamma(for_transitions, self.concentration, (self.states,))
        return shares / shares.sum(), self.mean + self.spread * normal(jax.random.key_data(key)[0])
