"""Environments of one or two steps, with kinds of observations and actions that the library's environments lack."""

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from farback.envs import AbstractEnv
from farback.envs.base import Feedback
from farback.envs.spaces import parts


class Picture(AbstractEnv):
    """An image of uint8 that is bright or dark, and then one that is dark. The last of two actions is 1 or 0 to match the
    first image, and brings 1 if it does.
    """

    observation_space = Box(0, 255, (6, 6, 1), np.uint8)
    action_space = Discrete(2)
    max_episode_steps = 2
    optimum, memoryless, random = 1.0, 0.5, 0.5

    def reset(self, key):
        return jax.random.bernoulli(key).astype(int), jnp.zeros((), int)

    def observe(self, state):
        bright, time = state
        return jnp.where(time == 0, 255 * bright, 0).astype(jnp.uint8) * jnp.ones((6, 6, 1), jnp.uint8)

    def step(self, state, action, key):
        bright, time = state
        done = time == 1
        return (bright, time + 1), Feedback((done & (action == bright)).astype(float), done, jnp.array(False))


class Parts(AbstractEnv):
    """An image of uint8, bright or dark, and a number, 3 or 4. Action 1 is right for a bright image or the number 4."""

    observation_space = Dict(image=Box(0, 255, (6, 6), np.uint8), number=Discrete(2, start=3))
    action_space = Discrete(2)
    max_episode_steps = 1
    optimum, memoryless, random = 1.0, 1.0, 0.5

    def reset(self, key):
        return jax.random.bernoulli(key, shape=(2,)).astype(int)

    def observe(self, state):
        bright = (255 * state[0]).astype(jnp.uint8) * jnp.ones((6, 6), jnp.uint8)
        return {"image": bright, "number": 3 + state[1]}

    def step(self, state, action, key):
        right = action == jnp.maximum(*state)
        return state, Feedback(right.astype(float), jnp.array(True), jnp.array(False))


def with_actions(space) -> AbstractEnv:
    """Episodes of one step, with the actions of a space. Their sum is the reward, within −1 and 1."""

    class Actions(AbstractEnv):
        observation_space = Discrete(2)
        action_space = space
        max_episode_steps = 1

        def reset(self, key):
            return jax.random.bernoulli(key).astype(int)

        def observe(self, state):
            return state

        def step(self, state, action, key):
            total = sum(jnp.sum(part).astype(float) for _, part in parts(space, action))
            return state, Feedback(jnp.clip(jnp.asarray(total), -1, 1), jnp.array(True), jnp.array(False))

    return Actions()
