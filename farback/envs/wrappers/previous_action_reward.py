"""Observations with the previous action and reward."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Space, Tuple
from jaxtyping import Array, Float, PyTree

from farback.envs.base import AbstractEnv, Feedback, State
from farback.envs.spaces import mapped, names, parts, sample
from farback.envs.wrappers.observation import AbstractObservationWrapper
from farback.types import InputError


class PreviousActionRewardState(NamedTuple):
    """The inner state, and the action and the reward that led to it."""

    state: State
    action: PyTree[Array]
    reward: Float[Array, ""]


class PreviousActionReward(AbstractObservationWrapper):
    """Adds the previous action and its reward to the observation.

    Observations are `observation`, `action` and `reward`. At the first step of an episode the reward is 0, and the action
    is zeros; a discrete one of n values is observed as one of n + 1, of which 0 means "none". Environments of Gymnasium
    can be wrapped, `PreviousActionReward(Gymnasium("CartPole-v1"))`, and so can other wrappers.

    Do not use it for an agent whose network already has the previous action and reward as an input.

    **Arguments:**

    - `env`: the environment.
    - `none`: whether "none" differs from the first action. In RL² it did not: 0 is both the first of n actions, and "none".
    """

    env: AbstractEnv
    none: bool = True

    def __check_init__(self):
        try:
            parts(self.env.action_space, names(self.env.action_space))
        except InputError as error:
            raise InputError(f"PreviousActionReward(env): its actions cannot be observed. {error}") from None

    @property
    def observation_space(self) -> Any:
        actions = _observed_space(self.env.action_space, int(self.none))
        return Dict(observation=self.env.observation_space, action=actions, reward=Box(-np.inf, np.inf, ()))

    @property
    def memoryless(self) -> float:
        return math.nan  # a policy can use its own previous action as a memory

    def wrap(self, state: State) -> PreviousActionRewardState:
        actions = jax.eval_shape(lambda: sample(self.env.action_space, jax.random.key(0)))
        none = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), actions)
        return PreviousActionRewardState(state, none, jnp.zeros(()))

    def after(
        self, state: PreviousActionRewardState, following: State, action: Any, feedback: Feedback
    ) -> PreviousActionRewardState:
        def observed(space, action):
            if not isinstance(space, Discrete | MultiDiscrete):
                return action
            return action - jnp.asarray(space.start, jnp.result_type(action)) + int(self.none)

        action = mapped(observed, self.env.action_space, action)
        action = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), action, state.action)
        return PreviousActionRewardState(following, action, jnp.asarray(feedback.reward, state.reward.dtype))

    def observe(self, state: PreviousActionRewardState) -> dict[str, Any]:
        return {"observation": self.env.observe(state.state), "action": state.action, "reward": state.reward}


def _observed_space(space: Space[Any], none: int) -> Space[Any]:
    """The space of previous actions. Discrete actions have `none` (0 or 1) more values than in `space`."""
    match space:
        case Dict():
            return Dict({name: _observed_space(part, none) for name, part in space.items()})
        case Tuple():
            return Tuple([_observed_space(part, none) for part in space.spaces])
        case Discrete():
            return Discrete(int(space.n) + none)
        case MultiDiscrete():
            return MultiDiscrete(space.nvec + none)
        case Box(dtype=kind):
            return Box(np.minimum(space.low, 0), np.maximum(space.high, 0), dtype=kind.type)
        case _:
            return space
