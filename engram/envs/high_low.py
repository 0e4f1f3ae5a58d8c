"""HighLow: a sign at the beginning, and its worth at the end."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.spaces import Box
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from engram.envs.base import AbstractEnv, Feedback
from engram.envs.text import track
from engram.types import InputError


class Sign(NamedTuple):
    """The time, and the sign."""

    time: Int[Array, ""]
    sign: Float[Array, ""]


class HighLow(AbstractEnv):
    """A sign −1 or +1 is seen in the first of H steps, and zeros afterwards; the last action is rewarded.

        reward = sign · action at the last step, 0 before;      action in [−1, 1], clipped
        optimum = 1,      memoryless = random = 0

    **Arguments:**

    - `horizon`: H.

    Reference: Pong, Gu and Levine, *Learning long-term dependencies with deep memory states*, 2017, the toy task, H = 25.
    """

    horizon: int = 25

    def __check_init__(self):
        if self.horizon < 2:
            raise InputError(f"HighLow(horizon={self.horizon}): the sign is seen before the end; give horizon >= 2.")

    @property
    def observation_space(self) -> Box:
        return Box(-1.0, 1.0, (1,))

    @property
    def action_space(self) -> Box:
        return Box(-1.0, 1.0, (1,))

    @property
    def steps(self) -> int:
        return self.horizon

    @property
    def optimum(self) -> float:
        return 1.0

    @property
    def memoryless(self) -> float:
        return 0.0

    @property
    def random(self) -> float:
        return 0.0

    def reset(self, key: PRNGKeyArray) -> Sign:
        return Sign(jnp.zeros((), int), jnp.where(jax.random.key_data(key)[0] % 2 == 0, -1.0, 1.0))

    def observe(self, state: Sign) -> Float[Array, "1"]:
        return jnp.where(state.time == 0, state.sign, 0.0)[None]

    def step(self, state: Sign, action: Float[Array, "1"], key: PRNGKeyArray) -> tuple[Sign, Feedback]:
        del key
        last = state.time == self.horizon - 1
        reward = jnp.where(last, state.sign * jnp.clip(action[0], -1, 1), 0.0)
        return state._replace(time=state.time + 1), Feedback(reward, last, jnp.array(False))

    def cue(self, state: Sign) -> Bool[Array, ""]:
        return state.time == 0

    def text(self, state: Sign) -> str:
        return f"{'+' if state.sign > 0 else '−'} {track(int(state.time), int(self.horizon))}"
