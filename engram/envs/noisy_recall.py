"""Noisy class recall: a sign under noise, asked for later."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from engram.chance import normal
from engram.envs.base import AbstractEnv, Feedback
from engram.envs.text import track
from engram.types import InputError


class Heard(NamedTuple):
    """The time, the class, and the noise that is shown."""

    time: Int[Array, ""]
    sign: Float[Array, ""]
    noise: Float[Array, ""]


class NoisyRecall(AbstractEnv):
    """A class −1 or +1 is shown under noise in the first steps of an episode, and is to be told in its last.

    Of T steps, the first w show class + noise, the last asks, and those between show noise alone, all of it independent,
    Gaussian, of standard deviation σ. Observed are the value (0 at the question) and a flag at the question, whose action,
    0 for −1 and 1 for +1, is rewarded by +1 if it is right and −1 if not.

        optimum = 2 Φ(√w / σ) − 1,      memoryless = random = 0

    **Arguments:**

    - `length`: T.
    - `cues`: w.
    - `noise`: σ.

    Reference: Bartunov, *Deep reinforcement learning with memory* (slides). The supervised form is the task of this name.
    """

    length: int
    cues: int = 4
    noise: float = 1.0

    def __check_init__(self):
        if self.cues < 1:
            raise InputError(f"NoisyRecall(cues={self.cues}): the class must be shown; give cues >= 1.")
        if self.length <= self.cues:
            shown = f"NoisyRecall({self.length}, cues={self.cues})"
            raise InputError(f"{shown}: the question comes after the cues; give length > cues.")
        if not 0 < self.noise < math.inf:
            raise InputError(f"NoisyRecall(noise={self.noise}): noise is a standard deviation; give 0 < noise < inf.")

    @property
    def observation_space(self) -> Box:
        return Box(np.array([-np.inf, 0], np.float32), np.array([np.inf, 1], np.float32))

    @property
    def action_space(self) -> Discrete:
        return Discrete(2)

    @property
    def steps(self) -> int:
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

    def reset(self, key: PRNGKeyArray) -> Heard:
        words = jax.random.key_data(key)
        return Heard(jnp.zeros((), int), jnp.where(words[0] % 2 == 0, -1.0, 1.0), self.noise * normal(words[1]))

    def observe(self, state: Heard) -> Float[Array, "2"]:
        asked = state.time >= self.length - 1
        value = jnp.where(state.time < self.cues, state.sign, 0.0) + state.noise
        return jnp.stack([jnp.where(asked, 0.0, value), asked.astype(value.dtype)])

    def step(self, state: Heard, action: Int[Array, ""], key: PRNGKeyArray) -> tuple[Heard, Feedback]:
        asked = state.time == self.length - 1
        right = (action == 1) == (state.sign > 0)
        reward = jnp.where(asked, jnp.where(right, 1.0, -1.0), 0.0)
        noise = self.noise * normal(jax.random.key_data(key)[0])
        return state._replace(time=state.time + 1, noise=noise), Feedback(reward, asked, jnp.array(False))

    def cue(self, state: Heard) -> Bool[Array, ""]:
        return state.time < self.cues

    def text(self, state: Heard) -> str:
        value = float(self.observe(state)[0])
        return f"{'+' if state.sign > 0 else '−'} {track(int(state.time), int(self.length))}? {value:+.1f}"
