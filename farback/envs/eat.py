"""The eat game: learn by eating which foods are good, and remember them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.spaces import Discrete
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from farback.envs.base import AbstractEnv, Feedback
from farback.ops.random import below
from farback.types import InputError


class EatState(NamedTuple):
    """The time, the food on offer, and which foods are good."""

    time: Int[Array, ""]
    food: Int[Array, ""]
    good: Bool[Array, " foods"]


class Eat(AbstractEnv):
    """Each of T steps offers one of C foods, drawn uniformly; the agent passes (0) or eats it (1).

    In each episode each food is good or bad, by a fair coin; eating has the reward +1 or −1, and passing 0. Only the reward
    tells good from bad, so the agent must observe it, as in `PreviousActionReward(Eat(...))`. The best policy eats every
    unknown food, which costs nothing on average, and every good one:

        optimum = (T − C (1 − (1 − 1/C)^T)) / 2,      memoryless = random = 0

    **Arguments:**

    - `foods`: C, the number of foods: few for the eat game, many for the "multi-context" game.
    - `horizon`: T, the number of steps of an episode.

    Reference: Bartunov, *Deep reinforcement learning with memory* (slides).
    """

    foods: int = 3
    horizon: int = 50

    def __check_init__(self):
        if self.foods < 1 or self.horizon < 2:
            raise InputError(f"Eat({self.foods}, {self.horizon}): give foods >= 1, and horizon >= 2.")

    @property
    def observation_space(self) -> Discrete:
        return Discrete(self.foods)

    @property
    def action_space(self) -> Discrete:
        return Discrete(2)

    @property
    def max_episode_steps(self) -> int:
        return self.horizon

    @property
    def optimum(self) -> float:
        different = self.foods * (1 - (1 - 1 / self.foods) ** self.horizon)
        return (self.horizon - different) / 2

    @property
    def memoryless(self) -> float:
        return 0.0

    @property
    def random(self) -> float:
        return 0.0

    def reset(self, key: PRNGKeyArray) -> EatState:
        food, good = jax.random.split(key)
        return EatState(
            jnp.zeros((), int),
            below(self.foods, jax.random.key_data(food)[0]),
            jax.random.bernoulli(good, shape=(self.foods,)),
        )

    def observe(self, state: EatState) -> Int[Array, ""]:
        return state.food

    def step(self, state: EatState, action: Int[Array, ""], key: PRNGKeyArray) -> tuple[EatState, Feedback]:
        reward = jnp.where(action == 1, jnp.where(state.good[state.food], 1.0, -1.0), 0.0)
        food = below(self.foods, jax.random.key_data(key)[0])
        terminated = state.time == self.horizon - 1
        return state._replace(time=state.time + 1, food=food), Feedback(reward, terminated, jnp.array(False))

    def render_text(self, state: EatState) -> str:
        return f"food {state.food}, {'good' if state.good[state.food] else 'bad'}"
