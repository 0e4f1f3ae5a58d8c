"""Repeat the card that was shown some steps ago."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Array, Int, PRNGKeyArray

from farback.envs.base import AbstractEnv, Feedback
from farback.ops.random import below
from farback.types import InputError


class RepeatPreviousState(NamedTuple):
    """The time, and the last k + 1 cards, the newest first."""

    time: Int[Array, ""]
    cards: Int[Array, " cards"]


class RepeatPrevious(AbstractEnv):
    """Each of T steps shows a card of one of n suits; the right action is the card of k steps before.

    From step k on, a right action has the reward 1 / (T − k), and a wrong one −1 / (T − k).

        optimum = 1,      memoryless = random = 2 / n − 1

    **Arguments:**

    - `delay`: k, the number of steps between a card and its repetition.
    - `suits`: n, the number of suits.
    - `horizon`: T, the number of steps of an episode.

    Reference: Morad et al., *POPGym: benchmarking partially observable reinforcement learning*, ICLR 2023.
    """

    delay: int = 4
    suits: int = 4
    horizon: int = 52

    def __check_init__(self):
        if not 1 <= self.delay < self.horizon:
            raise InputError(f"RepeatPrevious(delay={self.delay}, horizon={self.horizon}): give 1 <= delay < horizon.")
        if self.suits < 2:
            raise InputError(f"RepeatPrevious(suits={self.suits}): one suit needs no memory; give suits >= 2.")

    @property
    def observation_space(self) -> Discrete:
        return Discrete(self.suits)

    @property
    def action_space(self) -> Discrete:
        return Discrete(self.suits)

    @property
    def max_episode_steps(self) -> int:
        return self.horizon

    @property
    def optimum(self) -> float:
        return 1.0

    @property
    def memoryless(self) -> float:
        return 2 / self.suits - 1

    @property
    def random(self) -> float:
        return self.memoryless

    def reset(self, key: PRNGKeyArray) -> RepeatPreviousState:
        return RepeatPreviousState(jnp.zeros((), int), jnp.zeros(self.delay + 1, int).at[0].set(self._draw(key)))

    def observe(self, state: RepeatPreviousState) -> Int[Array, ""]:
        return state.cards[0]

    def step(
        self, state: RepeatPreviousState, action: Int[Array, ""], key: PRNGKeyArray
    ) -> tuple[RepeatPreviousState, Feedback]:
        answer = jnp.where(action == state.cards[-1], 1.0, -1.0) / (self.horizon - self.delay)
        reward = jnp.where(state.time >= self.delay, answer, 0.0)
        following = RepeatPreviousState(state.time + 1, jnp.roll(state.cards, 1).at[0].set(self._draw(key)))
        return following, Feedback(reward, state.time == self.horizon - 1, jnp.array(False))

    def render_text(self, state: RepeatPreviousState) -> str:
        cards = np.asarray(state.cards)[: int(state.time) + 1]
        right = f", right: {cards[-1]}" if len(cards) > self.delay else ""
        return f"{' '.join(map(str, cards[::-1]))}{right}"

    def _draw(self, key):
        return below(self.suits, jax.random.key_data(key)[1])
