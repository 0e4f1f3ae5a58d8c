"""Noisy class recall: average noisy cues, and name their class at the end."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from farback.envs.base import AbstractEnv, Feedback
from farback.envs.text import track
from farback.ops.random import normal
from farback.types import InputError


class NoisyRecallState(NamedTuple):
    """The time, the class, and the noise of this step."""

    time: Int[Array, ""]
    sign: Float[Array, ""]
    noise: Float[Array, ""]


class NoisyRecall(AbstractEnv):
    """The first steps of an episode show a class, −1 or +1, under noise; the action of the last step names it.

    Of T steps, the first w show class + noise, the last is the question, and the others show noise; the noise is
    independent and Gaussian, with standard deviation σ. Observations are the value (0 at the question) and a flag, 1 at the
    question. The action there is 0 for −1 and 1 for +1; its reward is +1 if it is right and −1 if not.

        optimum = 2 Φ(√w / σ) − 1,      memoryless = random = 0

    **Arguments:**

    - `length`: T, the number of steps of an episode.
    - `cues`: w, the number of steps that show the class.
    - `noise`: σ, the standard deviation of the noise.

    Reference: Bartunov, *Deep reinforcement learning with memory* (slides). The supervised form is
    `farback.tasks.NoisyRecall`.
    """

    length: int
    cues: int = 4
    noise: float = 1.0

    def __check_init__(self):
        if self.cues < 1:
            raise InputError(
                f"NoisyRecall(cues={self.cues}): a class that is never shown cannot be recalled; give cues >= 1."
            )
        if self.length <= self.cues:
            given = f"NoisyRecall({self.length}, cues={self.cues})"
            raise InputError(f"{given}: the question comes after the cues; give length > cues.")
        if not 0 < self.noise < math.inf:
            raise InputError(f"NoisyRecall(noise={self.noise}): noise is a standard deviation; give 0 < noise < inf.")

    @property
    def observation_space(self) -> Box:
        return Box(np.array([-np.inf, 0], np.float32), np.array([np.inf, 1], np.float32))

    @property
    def action_space(self) -> Discrete:
        return Discrete(2)

    @property
    def max_episode_steps(self) -> int:
        return self.length

    @property
    def optimum(self) -> float:
        return math.erf(math.sqrt(self.cues / 2) / self.noise)

    @property
    def memoryless(self) -> float:
        return 0.0

    @property
    def random(self) -> float:
        return 0.0

    def reset(self, key: PRNGKeyArray) -> NoisyRecallState:
        words = jax.random.key_data(key)
        return NoisyRecallState(jnp.zeros((), int), jnp.where(words[0] % 2 == 0, -1.0, 1.0), self.noise * normal(words[1]))

    def observe(self, state: NoisyRecallState) -> Float[Array, "2"]:
        question = state.time >= self.length - 1
        value = jnp.where(state.time < self.cues, state.sign, 0.0) + state.noise
        return jnp.stack([jnp.where(question, 0.0, value), question.astype(value.dtype)])

    def step(self, state: NoisyRecallState, action: Int[Array, ""], key: PRNGKeyArray) -> tuple[NoisyRecallState, Feedback]:
        question = state.time == self.length - 1
        right = (action == 1) == (state.sign > 0)
        reward = jnp.where(question, jnp.where(right, 1.0, -1.0), 0.0)
        noise = self.noise * normal(jax.random.key_data(key)[0])
        return state._replace(time=state.time + 1, noise=noise), Feedback(reward, question, jnp.array(False))

    def cue(self, state: NoisyRecallState) -> Bool[Array, ""]:
        return state.time < self.cues

    def render_text(self, state: NoisyRecallState) -> str:
        value = float(self.observe(state)[0])
        return f"{'+' if state.sign > 0 else '−'} {track(int(state.time), int(self.length))}? {value:+.1f}"
