"""Detour: a small reward now, or a step without one to a larger reward."""

from typing import NamedTuple

import jax.numpy as jnp
from gymnasium.spaces import Discrete
from jaxtyping import Array, Int, PRNGKeyArray

from farback.envs.base import AbstractEnv, Feedback
from farback.types import InputError


class DetourState(NamedTuple):
    """The time, and the place: 0, or 1 on the detour."""

    time: Int[Array, ""]
    place: Int[Array, ""]


class Detour(AbstractEnv):
    """In state 0, staying (0) is rewarded with 1, and leaving (1) leads to state 1 without a reward; there, both actions
    are rewarded with R and lead back. An episode has H steps.

    Which policy is best depends on the discount: to leave, for γ > 1 / (R − 1), and to stay, for a smaller γ.

        optimum = memoryless = R H / 2 for an even H;      staying has the return H

    **Arguments:**

    - `reward`: R, above 2.
    - `horizon`: H, the number of steps of an episode.

    Reference: after figure 6.2 of Tallec, *Recurrent neural networks and reinforcement learning: dynamic approaches*, 2019;
    the rewards are ours, with its threshold, γ = ½ for R = 3.
    """

    reward: float = 3.0
    horizon: int = 100

    def __check_init__(self):
        if not self.reward > 2 or self.horizon < 1:
            raise InputError(
                f"Detour(reward={self.reward}, horizon={self.horizon}): the detour takes two steps; give reward > 2, and "
                f"horizon >= 1."
            )

    @property
    def observation_space(self) -> Discrete:
        return Discrete(2)

    @property
    def action_space(self) -> Discrete:
        return Discrete(2)

    @property
    def max_episode_steps(self) -> int:
        return self.horizon

    @property
    def optimum(self) -> float:
        return self.reward * (self.horizon // 2) + self.horizon % 2

    @property
    def memoryless(self) -> float:
        return self.optimum if self.horizon % 2 == 0 else float("nan")

    def reset(self, key: PRNGKeyArray) -> DetourState:
        del key
        return DetourState(jnp.zeros((), int), jnp.zeros((), int))

    def observe(self, state: DetourState) -> Int[Array, ""]:
        return state.place

    def step(self, state: DetourState, action: Int[Array, ""], key: PRNGKeyArray) -> tuple[DetourState, Feedback]:
        del key
        leaves, away = (state.place == 0) & (action == 1), state.place == 1
        reward = jnp.where(away, self.reward, jnp.where(leaves, 0.0, 1.0))
        truncated = state.time == self.horizon - 1
        return DetourState(state.time + 1, leaves.astype(int)), Feedback(reward, jnp.array(False), truncated)

    def render_text(self, state: DetourState) -> str:
        return "away" if int(state.place) else "home"
