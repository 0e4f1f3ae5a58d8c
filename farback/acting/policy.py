"""The policy interface."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from farback.envs.base import AbstractEnv
from farback.envs.spaces import sample

PolicyState = PyTree


class AbstractPolicy(eqx.Module):
    """Maps the observations of one environment to actions, one step at a time; `jax.vmap` runs many.

        state = policy.initial()
        state, action, extras = policy(state, observation, first, key)

    `first` marks the first observation of an episode. The policy resets its memory before it reads that observation.
    """

    @abstractmethod
    def initial(self) -> PolicyState:
        """Returns the state before the first observation."""

    @abstractmethod
    def __call__(self, state: PolicyState, observation: Any, first: Any, key: PRNGKeyArray) -> tuple[PolicyState, Any, Any]:
        """Returns `(state, action, extras)`. The extras depend on the policy, such as a log-probability and a value."""


class RandomPolicy(AbstractPolicy):
    """Uniformly random actions.

    **Arguments:**

    - `env`: the environment that defines the action space.
    """

    env: AbstractEnv

    def initial(self) -> PolicyState:
        return ()

    def __call__(self, state: PolicyState, observation: Any, first: Any, key: PRNGKeyArray) -> tuple[PolicyState, Any, Any]:
        del observation, first
        return state, sample(self.env.action_space, key), ()


class CompiledPolicy(AbstractPolicy):
    """A policy for a loop of your own: each step is one compiled program, and observations and `first` may be of NumPy.

    **Arguments:**

    - `policy`: the policy.
    """

    policy: AbstractPolicy

    def initial(self) -> PolicyState:
        return self.policy.initial()

    def __call__(self, state: PolicyState, observation: Any, first: Any, key: PRNGKeyArray) -> tuple[PolicyState, Any, Any]:
        observation, first = jax.tree.map(jnp.asarray, (observation, first))
        return _step(self.policy, state, observation, first, key)


@eqx.filter_jit
def _step(policy, state, observation, first, key):
    return policy(state, observation, first, key)
