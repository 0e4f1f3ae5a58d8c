"""The T-maze: a hint at the start of a corridor, and a choice at its end."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from farback.envs.base import AbstractEnv, Feedback
from farback.envs.text import track
from farback.ops.random import below, distinct
from farback.types import InputError

RIGHT, WRONG = 4.0, -3.0
EARLIEST = 5
"""The first step that may have a distractor."""


class TMazeState(NamedTuple):
    """A position in the corridor.

    - `time`: the number of steps taken.
    - `length`: the number of steps of this corridor; the choice is at the last one.
    - `hint`: the correct turn, −1 (left) or 1 (right).
    - `noise`: the noise observed now, −1 or 1.
    - `distracting`: the steps of distractors, in any order.
    """

    time: Int[Array, ""]
    length: Int[Array, ""]
    hint: Float[Array, ""]
    noise: Float[Array, ""]
    distracting: Int[Array, " distractors"]


class TMaze(AbstractEnv):
    """The hint at the first step of a corridor gives the correct turn at its end.

    Every step moves one place forward. Action 0 turns left and 1 right, which matters only at the end. An episode has L
    steps; the last one has the reward +4 or −3. Observations are

        hint       −1 (left) or +1 (right) at the first step, 0 afterwards
        junction   1 at the last step, 0 elsewhere
        noise      −1 or +1 at random at each step, or always 0

    and zeros after the end. With D distractors, D steps of the corridor look like choices, and have the reward +4 or −3
    at random, for any action; the junction is (i + 1) / (D + 1) at the i-th of all D + 1 choices, i = 0, …, D, so that
    it is 1 at the true one only.

        optimum = 4 + D / 2,      memoryless = random = (1 + D) / 2

    The modes of the literature: L is `TMaze(n, noise=False)`, LN is `TMaze(n)`, LNR is `TMaze(n, extra=10)`, and LR is
    `TMaze(n, noise=False, extra=10)`.

    **Arguments:**

    - `corridor`: L, the number of steps.
    - `noise`: whether noise is observed.
    - `extra`: L is drawn uniformly from corridor, …, corridor + extra in each episode.
    - `distractors`: D, at different steps from the sixth on.

    Reference: Bakker, *Reinforcement learning with long short-term memory*, 2001; Sorokin et al., *Explain my surprise*,
    NeurIPS 2022.
    """

    corridor: int
    noise: bool = True
    extra: int = 0
    distractors: int = 0

    def __check_init__(self):
        if self.corridor < 2:
            raise InputError(f"TMaze(corridor={self.corridor}): the hint comes before the choice; give corridor >= 2.")
        if self.extra < 0:
            raise InputError(f"TMaze(extra={self.extra}): extra steps lengthen a corridor; give extra >= 0.")
        if self.distractors < 0 or (self.distractors and self.corridor - 1 - EARLIEST < self.distractors):
            raise InputError(
                f"TMaze({self.corridor}, distractors={self.distractors}): each takes one of the steps between the first "
                f"{EARLIEST} and the last; give 0 to {max(0, self.corridor - 1 - EARLIEST)}."
            )

    @property
    def observation_space(self) -> Box:
        return Box(np.array([-1, 0, -1], np.float32), np.array([1, 1, 1], np.float32))

    @property
    def action_space(self) -> Discrete:
        return Discrete(2)

    @property
    def max_episode_steps(self) -> int:
        return self.corridor + self.extra

    @property
    def optimum(self) -> float:
        return RIGHT + self.distractors * (RIGHT + WRONG) / 2

    @property
    def memoryless(self) -> float:
        return (1 + self.distractors) * (RIGHT + WRONG) / 2

    @property
    def random(self) -> float:
        return self.memoryless

    def reset(self, key: PRNGKeyArray) -> TMazeState:
        words = jax.random.key_data(key)
        length = self.corridor + below(self.extra + 1, words[0])
        return TMazeState(jnp.zeros((), int), length, _sign(words[1]), self._noise(words[1]), self._distracting(key))

    def observe(self, state: TMazeState) -> Float[Array, "3"]:
        inside = state.time < state.length
        hint = jnp.where(state.time == 0, state.hint, 0)
        return jnp.where(inside, jnp.stack([hint, self._junction(state), state.noise]), 0)

    def step(self, state: TMazeState, action: Int[Array, ""], key: PRNGKeyArray) -> tuple[TMazeState, Feedback]:
        word = jax.random.key_data(key)[0]
        last = state.time == state.length - 1
        right = jnp.where(last, (action == 1) == (state.hint > 0), word % 2 == 0)
        reward = jnp.where(self._junction(state) > 0, jnp.where(right, RIGHT, WRONG), 0.0)
        following = state._replace(time=state.time + 1, noise=self._noise(word))
        return following, Feedback(reward, last, jnp.array(False))

    def cue(self, state: TMazeState) -> Bool[Array, ""]:
        return state.time == 0

    def render_text(self, state: TMazeState) -> str:
        return f"{'▶' if state.hint > 0 else '◀'} {track(int(state.time), int(state.length))}┤"

    def _noise(self, word):
        return _sign(word >> 1) if self.noise else jnp.zeros(())

    def _distracting(self, key):
        if not self.distractors:  # the corridor may be traced, as in a Curriculum
            return jnp.zeros(0, int)
        return EARLIEST + distinct(self.distractors, self.corridor - 1 - EARLIEST, key)

    def _junction(self, state: TMazeState) -> Float[Array, ""]:
        last = (state.time == state.length - 1).astype(float)
        place = jnp.sum(state.distracting <= state.time).astype(float) / (self.distractors + 1)
        return jnp.where((state.distracting == state.time).any(), place, last)


def _sign(word):
    return jnp.where(word % 2 == 0, -1.0, 1.0)
