"""A ladder: small costs now for a reward at the top."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Array, Int, PRNGKeyArray

from farback.envs.base import AbstractEnv, Feedback
from farback.envs.text import track
from farback.types import InputError


class LadderState(NamedTuple):
    """The time, and the rung."""

    time: Int[Array, ""]
    rung: Int[Array, ""]


class Ladder(AbstractEnv):
    """A fully observed chain of n rungs: resting (0) costs nothing, climbing (1) costs c, and reaching the top pays 1.

    An episode ends at the top, and is truncated after H steps. Nothing is hidden and nothing is random, so values are
    known: V(rung i) = γ^{n−1−i} − c Σ_{j<n−i} γ^j. The immediate reward prefers the wrong action, so a learner without
    credit over time fails.

        optimum = memoryless = 1 − c n

    **Arguments:**

    - `rungs`: n, the number of climbs to the top.
    - `cost`: c, the cost of a climb, below 1/n.
    - `horizon`: H, the largest number of steps of an episode.
    """

    rungs: int = 5
    cost: float = 0.1
    horizon: int = 20

    def __check_init__(self):
        if not 1 <= self.rungs <= self.horizon:
            raise InputError(f"Ladder({self.rungs}, horizon={self.horizon}): give 1 <= rungs <= horizon.")
        if not 0 <= self.cost < 1 / self.rungs:
            raise InputError(
                f"Ladder({self.rungs}, cost={self.cost}): the top must be worth the climbs; give 0 <= cost < 1 / rungs."
            )

    @property
    def observation_space(self) -> Discrete:
        return Discrete(self.rungs + 1)

    @property
    def action_space(self) -> Discrete:
        return Discrete(2)

    @property
    def max_episode_steps(self) -> int:
        return self.horizon

    @property
    def optimum(self) -> float:
        return 1 - self.cost * self.rungs

    @property
    def memoryless(self) -> float:
        return self.optimum

    @property
    def random(self) -> float:
        value = np.zeros(self.rungs + 1)  # of each rung; 0 at the top
        for _ in range(self.horizon):
            climbed = np.append(value[1:-1], 1.0) - self.cost
            value[:-1] = (value[:-1] + climbed) / 2
        return float(value[0])

    def reset(self, key: PRNGKeyArray) -> LadderState:
        del key
        return LadderState(jnp.zeros((), int), jnp.zeros((), int))

    def observe(self, state: LadderState) -> Int[Array, ""]:
        return state.rung

    def step(self, state: LadderState, action: Int[Array, ""], key: PRNGKeyArray) -> tuple[LadderState, Feedback]:
        del key
        climbs = action == 1
        rung = jnp.minimum(state.rung + climbs.astype(int), self.rungs)
        top = climbs & (rung == self.rungs)
        reward = jnp.where(climbs, -self.cost, 0.0) + jnp.where(top, 1.0, 0.0)
        return LadderState(state.time + 1, rung), Feedback(reward, top, ~top & (state.time == self.horizon - 1))

    def render_text(self, state: LadderState) -> str:
        return track(int(state.rung), int(self.rungs) + 1)
