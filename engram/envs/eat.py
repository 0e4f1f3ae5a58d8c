"""The eat game: what is good is found out by eating, and is to be remembered."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.spaces import Discrete
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from engram.chance import below
from engram.envs.base import AbstractEnv, Feedback
from engram.types import InputError


class Table(NamedTuple):
    """The time, what is on the table, and which foods are good."""

    time: Int[Array, ""]
    food: Int[Array, ""]
    good: Bool[Array, " foods"]


class Eat(AbstractEnv):
    """One of C foods is on the table, drawn uniformly at each of T steps; it may be passed (0) or eaten (1).

    In each episode each food is good or bad, by a fair coin; eating is rewarded by +1 or −1, and passing by 0. What a food
    is worth is told by the reward alone: give it to the agent, by `Previous(Eat(...))`. The best is to eat whatever is
    unknown, which costs nothing on average, and of the known what is good:

        optimum = (T − C (1 − (1 − 1/C)^T)) / 2,      memoryless = random = 0

    **Arguments:**

    - `foods`: C; a few are the eat game, many the "multi-context" one.
    - `horizon`: T.

    Reference: Bartunov, *Deep reinforcement learning with memory* (slides).
    """

    foods: int = 3
    horizon: int = 50

    def __check_init__(self):
        if self.foods < 1 or self.horizon < 2:
            raise InputError(f"Eat({self.foods}, {self.horizon}): give foods >= 1, and horizon >= 2, to come back to one.")

    @property
    def observation_space(self) -> Discrete:
        return Discrete(self.foods)

    @property
    def action_space(self) -> Discrete:
        return Discrete(2)

    @property
    def steps(self) -> int:
        return self.horizon

    @property
    def optimum(self) -> float:
        seen = self.foods * (1 - (1 - 1 / self.foods) ** self.horizon)
        return (self.horizon - seen) / 2

    @property
    def memoryless(self) -> float:
        return 0.0

    @property
    def random(self) -> float:
        return 0.0

    def reset(self, key: PRNGKeyArray) -> Table:
        food, good = jax.random.split(key)
        return Table(
            jnp.zeros((), int),
            below(self.foods, jax.random.key_data(food)[0]),
            jax.random.bernoulli(good, shape=(self.foods,)),
        )

    def observe(self, state: Table) -> Int[Array, ""]:
        return state.food

    def step(self, state: Table, action: Int[Array, ""], key: PRNGKeyArray) -> tuple[Table, Feedback]:
        reward = jnp.where(action == 1, jnp.where(state.good[state.food], 1.0, -1.0), 0.0)
        food = below(self.foods, jax.random.key_data(key)[0])
        over = state.time == self.horizon - 1
        return state._replace(time=state.time + 1, food=food), Feedback(reward, over, jnp.array(False))

    def text(self, state: Table) -> str:
        return f"food {state.food}, {'good' if state.good[state.food] else 'bad'}"
