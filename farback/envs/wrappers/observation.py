"""The base class of wrappers that add to observations. They support hosted environments too."""

import dataclasses
from abc import abstractmethod
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from farback.envs.base import AutoResetState, Feedback, State
from farback.envs.wrappers.base import AbstractWrapper


class AbstractObservationWrapper(AbstractWrapper):
    """A wrapper that keeps data of the episode so far, and adds them to the observation.

    A subclass defines `wrap`, `after`, `observe` and the observation space. `step` and `auto_step` both call `after`, so
    that the wrapper works inside other wrappers, and around environments that the host steps. A wrapper that adds to the
    action space too overrides `unwrap_action`.
    """

    wraps_hosted: ClassVar[bool] = True

    @abstractmethod
    def after(self, state: Any, following: State, action: Any, feedback: Feedback) -> Any:
        """Returns the state of this wrapper after a step of the inner environment.

        **Arguments:**

        - `state`: the state of this wrapper before the step.
        - `following`: the inner state after the step.
        - `action`, `feedback`: the action of this wrapper and the feedback of the step.
        """

    def unwrap_action(self, action: Any) -> Any:
        """Returns the action of the inner environment."""
        return action

    def step(self, state: Any, action: Any, key: PRNGKeyArray) -> tuple[Any, Feedback]:
        following, feedback = self.env.step(self.unwrap(state), self.unwrap_action(action), key)
        return self.after(state, following, action, feedback), feedback

    def auto_reset(self, key: PRNGKeyArray) -> AutoResetState:
        inner = self.env.auto_reset(key)
        return dataclasses.replace(inner, state=self.wrap(inner.state))

    def auto_step(self, state: AutoResetState, action: Any) -> tuple[AutoResetState, Feedback]:
        before = dataclasses.replace(state, state=self.unwrap(state.state))
        inner, feedback = self.env.auto_step(before, self.unwrap_action(action))
        begun, kept = self.wrap(inner.state), self.after(state.state, inner.state, action, feedback)
        following = jax.tree.map(lambda begun, kept: jnp.where(inner.first, begun, kept), begun, kept)
        return dataclasses.replace(inner, state=following), feedback
