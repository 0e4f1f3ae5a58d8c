"""The base class of wrappers: it forwards everything that a wrapper does not change."""

import dataclasses
from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, Bool, PRNGKeyArray, UInt8

from farback.envs.base import AbstractEnv, State
from farback.types import InputError


class AbstractWrapper(AbstractEnv):
    """An environment around another environment, `env`.

    A subclass defines `wrap`, which begins its own state around an inner state, and `step`, and overrides the methods
    that it changes. Its state keeps the inner state as `state.state`, or it overrides `unwrap`. All else is forwarded:
    spaces, the time step, returns, `eval_env`, the three resets, `observe`, `cue`, `render_text` and `render_images`.
    """

    env: eqx.AbstractVar[AbstractEnv]
    wraps_hosted: ClassVar[bool] = False
    """Whether `env` may be a hosted one, which has no `reset` and no `step`."""

    def __check_init__(self):
        if self.env.hosted and not self.wraps_hosted:
            raise InputError(
                f"{type(self).__name__}(env): the host steps {type(self.env).__name__}, which has no reset and no step "
                f"of its own; give an environment in JAX, or use one of Gymnasium's wrappers inside Gymnasium(...)."
            )

    @abstractmethod
    def wrap(self, state: State) -> Any:
        """Returns the state of this wrapper at the start of an episode, from the inner state."""

    def unwrap(self, state: Any) -> Any:
        """Returns the inner state."""
        return state.state

    def env_of(self, state: Any) -> AbstractEnv:
        """Returns the inner environment, which may depend on the state, as in `Curriculum`."""
        del state
        return self.env

    @property
    def observation_space(self) -> Any:
        return self.env.observation_space

    @property
    def action_space(self) -> Any:
        return self.env.action_space

    @property
    def max_episode_steps(self) -> int | None:
        return self.env.max_episode_steps

    @property
    def time_step(self) -> float | None:
        return self.env.time_step

    @property
    def optimum(self) -> float:
        return self.env.optimum

    @property
    def memoryless(self) -> float:
        return self.env.memoryless

    @property
    def random(self) -> float:
        return self.env.random

    @property
    def eval_env(self) -> AbstractEnv:
        return dataclasses.replace(self, env=self.env.eval_env)

    @property
    def hosted(self) -> bool:
        return self.env.hosted

    def reset(self, key: PRNGKeyArray) -> Any:
        return self.wrap(self.env.reset(key))

    def reset_from(self, state: Any, key: PRNGKeyArray) -> Any:
        return self.wrap(self.env_of(state).reset_from(self.unwrap(state), key))

    def reset_same_world(self, state: Any, key: PRNGKeyArray) -> Any:
        return self.wrap(self.env_of(state).reset_same_world(self.unwrap(state), key))

    def observe(self, state: Any) -> Any:
        return self.env_of(state).observe(self.unwrap(state))

    def cue(self, state: Any) -> Bool[Array, ""]:
        return self.env_of(state).cue(self.unwrap(state))

    def render_text(self, state: Any) -> str:
        return self.env_of(state).render_text(self.unwrap(state))

    def render_images(self, state: Any) -> dict[str, UInt8[Array, "height width 3"]]:
        return self.env_of(state).render_images(self.unwrap(state))
