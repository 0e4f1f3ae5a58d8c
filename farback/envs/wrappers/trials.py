"""Trials: several episodes in one world, for agents that learn within a trial."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnasium.spaces import Dict, MultiBinary
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from farback.envs.base import AbstractEnv, Feedback, State
from farback.envs.wrappers.base import AbstractWrapper
from farback.ops.batching import compute_where
from farback.types import InputError


class TrialsState(NamedTuple):
    """The inner state, whether an episode ended just before it, and the number of episodes of this trial that ended."""

    state: State
    ended: Bool[Array, ""]
    episodes: Int[Array, ""]


class Trials(AbstractWrapper):
    """Trials of n episodes each in one world, which is drawn at the start of the trial.

    A trial is one episode of this environment: memory is kept from one inner episode to the next, and returns and
    advantages run over all of them. When an inner episode ends, the next observation is the first of the next one.
    Observations are `observation` and `ended`. RL² observes the previous action and reward too:
    `PreviousActionReward(Trials(Bandit(5), 10))`.

        memoryless, random: n times those of the environment

    **Arguments:**

    - `env`: the environment, whose `reset_same_world` begins the episodes of a trial after the first.
    - `episodes`: n, the number of episodes of a trial.

    Reference: Duan et al., *RL²: fast reinforcement learning via slow reinforcement learning*, 2016, section 2.2; Wang et
    al., *Learning to reinforcement learn*, 2016.
    """

    env: AbstractEnv
    episodes: int

    def __check_init__(self):
        if self.episodes < 1:
            raise InputError(f"Trials(episodes={self.episodes}): a trial has at least one episode; give episodes >= 1.")

    @property
    def observation_space(self) -> Any:
        return Dict(observation=self.env.observation_space, ended=MultiBinary(1))

    @property
    def max_episode_steps(self) -> int | None:
        return None if self.env.max_episode_steps is None else self.episodes * self.env.max_episode_steps

    @property
    def optimum(self) -> float:
        return self.env.optimum if self.episodes == 1 else float("nan")

    @property
    def memoryless(self) -> float:
        return self.episodes * self.env.memoryless

    @property
    def random(self) -> float:
        return self.episodes * self.env.random

    def wrap(self, state: State) -> TrialsState:
        return TrialsState(state, jnp.array(False), jnp.zeros((), int))

    def observe(self, state: TrialsState) -> dict[str, Any]:
        return {"observation": self.env.observe(state.state), "ended": state.ended.astype(int)[None]}

    def step(self, state: TrialsState, action: Any, key: PRNGKeyArray) -> tuple[TrialsState, Feedback]:
        reset_key = jax.random.fold_in(key, 1)
        following, (reward, terminated, truncated) = self.env.step(state.state, action, key)
        ended = terminated | truncated
        following = compute_where(ended, lambda: self.env.reset_same_world(following, reset_key), following)
        episodes = state.episodes + ended.astype(int)
        return TrialsState(following, ended, episodes), Feedback(reward, episodes == self.episodes, jnp.array(False))

    def render_text(self, state: TrialsState) -> str:
        return f"episode {min(int(state.episodes) + 1, self.episodes)}: {self.env.render_text(state.state)}"
