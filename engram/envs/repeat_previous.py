"""Repeat what was shown some steps ago."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Array, Int, PRNGKeyArray

from engram.chance import below
from engram.envs.base import AbstractEnv, Feedback
from engram.types import InputError


class Cards(NamedTuple):
    """The time, and the cards shown last, the newest first."""

    time: Int[Array, ""]
    shown: Int[Array, " cards"]


class RepeatPrevious(AbstractEnv):
    """A card of one of n suits is shown at each of T steps; the action is to be the one shown k steps before.

    From the step k on, a right answer is rewarded by 1 / (T − k), and a wrong one by −1 / (T − k).

        optimum = 1,      memoryless = random = 2 / n − 1

    **Arguments:**

    - `delay`: k.
    - `suits`: n.
    - `horizon`: T.

    Reference: Morad et al., *POPGym: benchmarking partially observable reinforcement learning*, ICLR 2023.
    """

    delay: int = 4
    suits: int = 4
    horizon: int = 52

    def __check_init__(self):
        if not 1 <= self.delay < self.horizon:
            raise InputError(f"RepeatPrevious(delay={self.delay}, horizon={self.horizon}): give 1 <= delay < horizon.")
        if self.suits < 2:
            raise InputError(f"RepeatPrevious(suits={self.suits}): there must be something to tell apart; give suits >= 2.")

    @property
    def observation_space(self) -> Discrete:
        return Discrete(self.suits)

    @property
    def action_space(self) -> Discrete:
        return Discrete(self.suits)

    @property
    def steps(self) -> int:
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

    def reset(self, key: PRNGKeyArray) -> Cards:
        return Cards(jnp.zeros((), int), jnp.zeros(self.delay + 1, int).at[0].set(self._draw(key)))

    def observe(self, state: Cards) -> Int[Array, ""]:
        return state.shown[0]

    def step(self, state: Cards, action: Int[Array, ""], key: PRNGKeyArray) -> tuple[Cards, Feedback]:
        worth = jnp.where(action == state.shown[-1], 1.0, -1.0) / (self.horizon - self.delay)
        reward = jnp.where(state.time >= self.delay, worth, 0.0)
        shown = jnp.roll(state.shown, 1).at[0].set(self._draw(key))
        return Cards(state.time + 1, shown), Feedback(reward, state.time == self.horizon - 1, jnp.array(False))

    def text(self, state: Cards) -> str:
        shown = np.asarray(state.shown)[: int(state.time) + 1]
        wanted = f", {shown[-1]} is wanted" if len(shown) > self.delay else ""
        return f"{' '.join(map(str, shown[::-1]))}{wanted}"

    def _draw(self, key):
        return below(self.suits, jax.random.key_data(key)[1])
