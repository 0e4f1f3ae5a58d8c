"""A curriculum: episodes get harder as they are mastered."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs.base import AbstractEnv, Feedback, State
from farback.envs.wrappers.base import AbstractWrapper
from farback.types import InputError


class CurriculumState(NamedTuple):
    """The inner state, the level, the return of this episode so far, and the score of the episodes at this level."""

    state: State
    level: Int[Array, ""]
    total: Float[Array, ""]
    score: Float[Array, ""]


class Curriculum(AbstractWrapper):
    """Raises one argument of an environment, its level, from a small start, whenever a level is mastered.

    After an episode of return R, the score is s ← s + (R − s) / n. If it is above the threshold, the next episode is at a
    higher level, at most that of `env`, and s is 0 again. Each copy of the environment has its own level. Within
    `Trials`, all episodes of a trial are at one level. The stated returns are those of `env`, the goal, in which
    policies are evaluated.

    **Arguments:**

    - `env`: the goal, such as `NoisyRecall(100)`.
    - `number`: the name of the argument that grows, such as `length`.
    - `start`: its first level.
    - `increment`: the difference between two levels.
    - `threshold`: the score above which a level is mastered.
    - `episodes`: n, the number of episodes that the score averages over.
    """

    env: AbstractEnv
    number: str
    start: int
    increment: int
    threshold: float
    episodes: int = 20

    def __check_init__(self):
        AbstractWrapper.__check_init__(self)  # first: a hosted environment has no arguments to read
        most = getattr(self.env, self.number, None)
        if not isinstance(most, int):
            raise InputError(
                f"Curriculum(number={self.number!r}): {type(self.env).__name__} has no such whole number; give the name of "
                f"a whole-number argument of it."
            )
        if not 1 <= self.start <= most or self.increment < 1 or self.episodes < 1:
            raise InputError(
                f"Curriculum(start={self.start}, increment={self.increment}, episodes={self.episodes}): give 1 <= start <= "
                f"{most} (the goal), and at least 1 for the others."
            )
        dataclasses.replace(self.env, **{self.number: self.start})  # raises if the environment refuses the start

    @property
    def eval_env(self) -> AbstractEnv:
        return self.env.eval_env

    def at(self, level: Any) -> Any:
        """Returns the environment at a level."""
        return eqx.tree_at(lambda env: getattr(env, self.number), self.env, level)

    def env_of(self, state: CurriculumState) -> Any:
        return self.at(state.level)

    def wrap(self, state: State) -> CurriculumState:
        return CurriculumState(state, jnp.array(self.start), jnp.zeros(()), jnp.zeros(()))

    def reset(self, key: PRNGKeyArray) -> CurriculumState:
        return self.wrap(self.at(jnp.array(self.start)).reset(key))

    def reset_from(self, state: CurriculumState, key: PRNGKeyArray) -> CurriculumState:
        mastered = state.score > self.threshold
        level = jnp.minimum(state.level + jnp.where(mastered, self.increment, 0), getattr(self.env, self.number))
        following = self.at(level).reset_from(state.state, key)
        return CurriculumState(following, level, jnp.zeros(()), jnp.where(mastered, 0.0, state.score))

    def reset_same_world(self, state: CurriculumState, key: PRNGKeyArray) -> CurriculumState:
        following = self.env_of(state).reset_same_world(state.state, key)
        return state._replace(state=following, total=jnp.zeros(()))

    def step(self, state: CurriculumState, action: Any, key: PRNGKeyArray) -> tuple[CurriculumState, Feedback]:
        following, feedback = self.env_of(state).step(state.state, action, key)
        total = state.total + feedback.reward
        score = state.score + (total - state.score) / self.episodes
        score = jnp.where(feedback.terminated | feedback.truncated, score, state.score)
        return CurriculumState(following, state.level, total, score), feedback
