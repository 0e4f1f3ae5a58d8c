"""HighLow: a sign at the first step decides the reward of the last action."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.spaces import Box
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from farback.envs.base import AbstractEnv, Feedback
from farback.envs.text import track
from farback.types import InputError


class HighLowState(NamedTuple):
    """The time, and the sign."""

    time: Int[Array, ""]
    sign: Float[Array, ""]


class HighLow(AbstractEnv):
    """The first of H steps shows a sign, −1 or +1, and the others 0; the last action has a reward.

        reward = sign · action at the last step, 0 before;      action in [−1, 1], clipped
        optimum = 1,      memoryless = random = 0

    **Arguments:**

    - `horizon`: H, the number of steps of an episode.

    Reference: Pong, Gu and Levine, *Learning long-term dependencies with deep memory states*, 2017, the toy task, H = 25.
    """

    horizon: int = 25

    def __check_init__(self):
        if self.horizon < 2:
            raise InputError(f"HighLow(horizon={self.horizon}): the sign comes before the last action; give horizon >= 2.")

    @property
    def observation_space(self) -> Box:
        return Box(-1.0, 1.0, (1,))

    @property
    def action_space(self) -> Box:
        return Box(-1.0, 1.0, (1,))

    @property
    def max_episode_steps(self) -> int:
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

    def reset(self, key: PRNGKeyArray) -> HighLowState:
        return HighLowState(jnp.zeros((), int), jnp.where(jax.random.key_data(key)[0] % 2 == 0, -1.0, 1.0))

    def observe(self, state: HighLowState) -> Float[Array, "1"]:
        return jnp.where(state.time == 0, state.sign, 0.0)[None]

    def step(self, state: HighLowState, action: Float[Array, "1"], key: PRNGKeyArray) -> tuple[HighLowState, Feedback]:
        del key
        last = state.time == self.horizon - 1
        reward = jnp.where(last, state.sign * jnp.clip(action[0], -1, 1), 0.0)
        return state._replace(time=state.time + 1), Feedback(reward, last, jnp.array(False))

    def cue(self, state: HighLowState) -> Bool[Array, ""]:
        return state.time == 0

    def render_text(self, state: HighLowState) -> str:
        return f"{'+' if state.sign > 0 else '−'} {track(int(state.time), int(self.horizon))}"
