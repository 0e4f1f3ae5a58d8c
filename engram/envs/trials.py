"""Several episodes in one world, of which each may profit from those before."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.spaces import Dict, MultiBinary
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from engram.envs.base import AbstractEnv, Feedback, State
from engram.envs.wrapper import AbstractWrapper
from engram.types import InputError


class Course(NamedTuple):
    """The state of an environment, whether an episode ended just before it, and how many of the trial have."""

    state: State
    ended: Bool[Array, ""]
    episodes: Int[Array, ""]


class Trials(AbstractWrapper):
    """Trials of n episodes each in one world, which is drawn at the beginning of the trial.

    The trial is what an episode is to everything else: memory is kept from one of the n to the next, and returns and
    advantages run over all of them. Where one ends, the first observation of the next is seen, and that one ended.
    Observed are `observation` and `ended`. RL² sees the action and the reward too: `Previous(Trials(Bandit(5), 10))`.

        memoryless, random: n times those of the environment

    **Arguments:**

    - `env`: the environment, whose `again` says what is the same in all episodes of a world.
    - `episodes`: n.

    Reference: Duan et al., *RL²: fast reinforcement learning via slow reinforcement learning*, 2016, section 2.2; Wang et
    al., *Learning to reinforcement learn*, 2016.
    """

    env: AbstractEnv
    episodes: int

    def __check_init__(self):
        if self.episodes < 1:
            raise InputError(f"Trials(episodes={self.episodes}): a trial has one episode at least; give episodes >= 1.")

    @property
    def observation_space(self) -> Any:
        return Dict(observation=self.env.observation_space, ended=MultiBinary(1))

    @property
    def steps(self) -> int | None:
        return None if self.env.steps is None else self.episodes * self.env.steps

    @property
    def optimum(self) -> float:
        return self.env.optimum if self.episodes == 1 else float("nan")

    @property
    def memoryless(self) -> float:
        return self.episodes * self.env.memoryless

    @property
    def random(self) -> float:
        return self.episodes * self.env.random

    def reset(self, key: PRNGKeyArray) -> Course:
        return Course(self.env.reset(key), jnp.array(False), jnp.zeros((), int))

    def observe(self, state: Course) -> dict[str, Any]:
        return {"observation": self.env.observe(state.state), "ended": state.ended.astype(int)[None]}

    def step(self, state: Course, action: Any, key: PRNGKeyArray) -> tuple[Course, Feedback]:
        following, (reward, terminated, truncated) = self.env.step(state.state, action, key)
        ended = terminated | truncated
        fresh = self.env.again(following, jax.random.fold_in(key, 1))
        following = jax.tree.map(lambda fresh, state: jnp.where(ended, fresh, state), fresh, following)
        episodes = state.episodes + ended.astype(int)
        return Course(following, ended, episodes), Feedback(reward, episodes == self.episodes, jnp.array(False))

    def cue(self, state: Course) -> Bool[Array, ""]:
        return self.env.cue(state.state)

    def held(self, state: Course) -> Any:
        return self.env.held(state.state)

    def text(self, state: Course) -> str:
        return f"episode {int(state.episodes) + 1}: {self.env.text(state.state)}"
