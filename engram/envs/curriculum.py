"""Episodes that get harder as they are mastered."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from engram.envs.base import AbstractEnv, Feedback, State
from engram.envs.wrapper import AbstractWrapper
from engram.types import InputError


class Stage(NamedTuple):
    """The state of the environment, how hard it is, the return of this episode, and that of those at this level."""

    state: State
    level: Int[Array, ""]
    total: Float[Array, ""]
    score: Float[Array, ""]


class Curriculum(AbstractWrapper):
    """An environment one of whose numbers begins small, and grows whenever its episodes are mastered.

    After an episode of return R the score is s ← s + (R − s) / n. Where it is above the threshold, the number is raised, to
    that of the environment at most, and the score begins at 0 again. Each copy of the environment is at a level of its own.
    It states the returns of the goal, and is scored there when it is evaluated.

    **Arguments:**

    - `env`: the goal, such as `NoisyRecall(100)`.
    - `number`: the argument of it that grows, such as `length`.
    - `start`: what it is at first.
    - `increment`: by what it is raised.
    - `threshold`: the return that says that it is mastered.
    - `episodes`: n.
    """

    env: AbstractEnv
    number: str
    start: int
    increment: int
    threshold: float
    episodes: int = 20

    def __check_init__(self):
        most = getattr(self.env, self.number, None)
        if not isinstance(most, int):
            raise InputError(f"Curriculum(number={self.number!r}): {type(self.env).__name__} has no such whole number.")
        if not 1 <= self.start <= most or self.increment < 1 or self.episodes < 1:
            raise InputError(
                f"Curriculum(start={self.start}, increment={self.increment}, episodes={self.episodes}): give 1 <= start <= "
                f"{most}, the goal, and 1 at least of the others."
            )
        self.at(self.start).__check_init__()

    @property
    def goal(self) -> AbstractEnv:
        return self.env

    def at(self, level: Any) -> Any:
        """The environment at a level."""
        return eqx.tree_at(lambda env: getattr(env, self.number), self.env, level)

    def reset(self, key: PRNGKeyArray) -> Stage:
        level = jnp.array(self.start)
        return Stage(self.at(level).reset(key), level, jnp.zeros(()), jnp.zeros(()))

    def restart(self, state: Stage, key: PRNGKeyArray) -> Stage:
        score = state.score + (state.total - state.score) / self.episodes
        mastered = score > self.threshold
        level = jnp.minimum(state.level + jnp.where(mastered, self.increment, 0), getattr(self.env, self.number))
        return Stage(self.at(level).reset(key), level, jnp.zeros(()), jnp.where(mastered, 0.0, score))

    def observe(self, state: Stage) -> Any:
        return self.at(state.level).observe(state.state)

    def step(self, state: Stage, action: Any, key: PRNGKeyArray) -> tuple[Stage, Feedback]:
        following, feedback = self.at(state.level).step(state.state, action, key)
        return state._replace(state=following, total=state.total + feedback.reward), feedback

    def cue(self, state: Stage) -> Bool[Array, ""]:
        return self.at(state.level).cue(state.state)

    def held(self, state: Stage) -> Any:
        return self.at(state.level).held(state.state)

    def text(self, state: Stage) -> str:
        return self.at(state.level).text(state.state)
