"""The environment interface, and auto-reset, which runs one episode after another."""

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree, UInt8

from farback.envs.spaces import flat
from farback.ops.batching import compute_where

if TYPE_CHECKING:
    from gymnasium.spaces import Space

State = PyTree[Array]


class Feedback(NamedTuple):
    """The result of an action.

    - `reward`: the reward.
    - `terminated`: whether the episode ended in a terminal state, whose value is 0.
    - `truncated`: whether the episode was cut off, by a time limit for example.
    """

    reward: Float[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]


class AutoResetState(eqx.Module):
    """The state of an endless sequence of episodes.

    - `state`: the state of the environment.
    - `first`: whether its observation is the first of an episode.
    - `last`: whether its observation is the last of an episode. This observation has a step of its own, whose action has no
      effect and no reward; the next state begins the next episode.
    - `key`: the key of all later random draws.
    """

    state: State
    first: Bool[Array, ""]
    last: Bool[Array, ""]
    key: PRNGKeyArray


class AbstractEnv(eqx.Module):
    """A partially observable Markov decision process in JAX, written for one episode; `jax.vmap` runs many.

    Spaces are Gymnasium's. Observations and actions are arrays, or pytrees of arrays, as the spaces describe.

    An environment may state expected undiscounted returns of an episode: `optimum`, of the best policy; `memoryless`, of
    the best policy of the current observation alone; and `random`, of uniform actions. NaN, the default, means unknown.

    A subclass defines the two spaces, `reset`, `observe` and `step`.
    """

    @property
    @abstractmethod
    def observation_space(self) -> "Space[Any]":
        """The space of observations."""

    @property
    @abstractmethod
    def action_space(self) -> "Space[Any]":
        """The space of actions."""

    @property
    def max_episode_steps(self) -> int | None:
        """The number of steps of the longest episode; None if unknown."""
        return None

    @property
    def time_step(self) -> float | None:
        """The seconds between two steps; None if the environment is not in physical time."""
        return None

    @property
    def optimum(self) -> float:
        """The expected return of the best policy."""
        return math.nan

    @property
    def memoryless(self) -> float:
        """The expected return of the best memoryless policy."""
        return math.nan

    @property
    def random(self) -> float:
        """The expected return of uniformly random actions."""
        return math.nan

    @property
    def eval_env(self) -> "AbstractEnv":
        """The environment for evaluation: this one, unless training changes it, as `Curriculum` does."""
        return self

    @property
    def hosted(self) -> bool:
        """Whether episodes run outside JAX, so that `auto_reset` and `auto_step` are the only way to step them."""
        return False

    @abstractmethod
    def reset(self, key: PRNGKeyArray) -> State:
        """Returns the first state of an episode."""

    def reset_from(self, state: State, key: PRNGKeyArray) -> State:
        """Returns the first state of the next episode, which may depend on the last state of the one before."""
        del state
        return self.reset(key)

    def reset_same_world(self, state: State, key: PRNGKeyArray) -> State:
        """Returns the first state of another episode in the same world; by default, episodes share nothing."""
        return self.reset_from(state, key)

    @abstractmethod
    def observe(self, state: State) -> Any:
        """Returns the observation of a state."""

    @abstractmethod
    def step(self, state: State, action: Any, key: PRNGKeyArray) -> tuple[State, Feedback]:
        """Returns the next state, and the feedback of the action."""

    def cue(self, state: State) -> Bool[Array, ""]:
        """Whether the observation holds information that a later action needs and no later observation holds."""
        del state
        return jnp.array(False)

    def render_text(self, state: Any) -> str:
        """Returns the state as one line of text; by default, the numbers of the observation."""
        numbers = np.asarray(flat(self.observation_space, self.observe(state)))
        return " ".join(f"{value:.2g}" for value in numbers)

    def render_images(self, state: State) -> dict[str, UInt8[Array, "height width 3"]]:
        """Returns images of the state for people, by name; none by default. Gymnasium shows the one named `view`."""
        del state
        return {}

    def auto_reset(self, key: PRNGKeyArray) -> AutoResetState:
        """Returns the start of an endless sequence of episodes."""
        key, draw_key = jax.random.split(key)
        return AutoResetState(self.reset(draw_key), jnp.array(True), jnp.array(False), key)

    def auto_step(self, state: AutoResetState, action: Any) -> tuple[AutoResetState, Feedback]:
        """Takes one step of the sequence: the action, or the start of the next episode after a last observation.

        The start of an episode is computed only for those copies under `jax.vmap` that need it.
        """
        key, draw_key = jax.random.split(state.key)
        following, (reward, terminated, truncated) = self.step(state.state, action, draw_key)
        following = compute_where(state.last, lambda: self.reset_from(state.state, draw_key), following)
        feedback = Feedback(jnp.where(state.last, 0, reward), terminated & ~state.last, truncated & ~state.last)
        return AutoResetState(following, state.last, feedback.terminated | feedback.truncated, key), feedback
