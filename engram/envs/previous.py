"""Seeing what was done, and what came of it."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from engram.envs.base import AbstractEnv, Feedback, State
from engram.envs.wrapper import AbstractWrapper
from engram.types import InputError


class Remembered(NamedTuple):
    """The state of an environment, and the action and the reward that led to it."""

    state: State
    action: Array
    reward: Float[Array, ""]


class Previous(AbstractWrapper):
    """An environment whose observations say which action came before, and its reward.

    Observed are `observation`, `action` and `reward`. At the beginning of an episode there is none of them: the reward is 0
    and the action is zeros, or, where actions are discrete, 0 for "none", the first of n + 1.

    **Arguments:**

    - `env`: the environment.
    - `none`: whether "none" is told from the first action. RL² did not: there, 0 is the first of n actions, and "none" too.
    """

    env: AbstractEnv
    none: bool = True

    def __check_init__(self):
        if not isinstance(self.env.action_space, Box | Discrete):
            shown = type(self.env.action_space).__name__
            raise InputError(f"Previous(env): actions of a {shown} space cannot be shown; give Discrete or Box actions.")

    @property
    def observation_space(self) -> Any:
        actions = self.env.action_space
        shown = Discrete(int(actions.n) + int(self.none)) if isinstance(actions, Discrete) else actions
        return Dict(observation=self.env.observation_space, action=shown, reward=Box(-np.inf, np.inf, ()))

    @property
    def memoryless(self) -> float:
        return math.nan  # whoever sees what they did can remember by what they do

    def reset(self, key: PRNGKeyArray) -> Remembered:
        return self._beginning(self.env.reset(key))

    def restart(self, state: Remembered, key: PRNGKeyArray) -> Remembered:
        return self._beginning(self.env.restart(state.state, key))

    def again(self, state: Remembered, key: PRNGKeyArray) -> Remembered:
        return self._beginning(self.env.again(state.state, key))

    def observe(self, state: Remembered) -> dict[str, Any]:
        return {"observation": self.env.observe(state.state), "action": state.action, "reward": state.reward}

    def step(self, state: Remembered, action: Any, key: PRNGKeyArray) -> tuple[Remembered, Feedback]:
        following, feedback = self.env.step(state.state, action, key)
        shown = action + int(self.none) if isinstance(self.env.action_space, Discrete) else action
        like = jax.tree.map(lambda leaf: leaf.dtype, state.action)
        return Remembered(following, jnp.asarray(shown, like), jnp.asarray(feedback.reward, state.reward.dtype)), feedback

    def cue(self, state: Remembered) -> Bool[Array, ""]:
        return self.env.cue(state.state)

    def held(self, state: Remembered) -> Any:
        return self.env.held(state.state)

    def text(self, state: Remembered) -> str:
        return self.env.text(state.state)

    def _beginning(self, state: State) -> Remembered:
        space = self.env.action_space
        none = jnp.zeros((), int) if isinstance(space, Discrete) else jnp.zeros(space.shape or ())
        return Remembered(state, none, jnp.zeros(()))
