"""What an environment is: a world that is acted in, one episode after the other."""

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from engram.envs.spaces import flat

if TYPE_CHECKING:
    from gymnasium.spaces import Space

State = PyTree[Array]


class Feedback(NamedTuple):
    """What came of an action.

    - `reward`
    - `terminated`: whether the episode ended by itself, so that nothing would ever follow.
    - `truncated`: whether it was broken off.
    """

    reward: Float[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]


class Play(eqx.Module):
    """An environment in the course of being played: one episode after the other, without end.

    - `state`: of the environment.
    - `first`: whether its observation begins an episode.
    - `over`: whether its observation is the last of an episode. It is shown for one step, in which no action has any effect
      or reward, and then the next episode begins.
    - `key`: of all chance to come.
    """

    state: State
    first: Bool[Array, ""]
    over: Bool[Array, ""]
    key: PRNGKeyArray


class AbstractEnv(eqx.Module):
    """A partially observable Markov decision process, written in JAX for one episode.

    An environment states the expected return of an episode, undiscounted: `optimum`, of the best policy; `memoryless`, of
    the best one that sees the present observation alone; and `random`, of actions drawn uniformly. NaN, which they are
    unless it says otherwise, means that nobody knows.

    Spaces are Gymnasium's. Observations and actions are arrays, or pytrees of them, as the spaces say.
    """

    @property
    @abstractmethod
    def observation_space(self) -> "Space[Any]":
        """What is seen."""

    @property
    @abstractmethod
    def action_space(self) -> "Space[Any]":
        """What can be done."""

    @property
    def steps(self) -> int | None:
        """The steps of the longest episode, where that is known."""
        return None

    @property
    def optimum(self) -> float:
        """The expected return of the best policy."""
        return math.nan

    @property
    def memoryless(self) -> float:
        """The expected return of the best policy that has no memory."""
        return math.nan

    @property
    def random(self) -> float:
        """The expected return of uniformly random actions."""
        return math.nan

    @property
    def goal(self) -> "AbstractEnv":
        """The environment that a policy is scored in, where training begins with another."""
        return self

    @abstractmethod
    def reset(self, key: PRNGKeyArray) -> State:
        """The state at the beginning of an episode."""

    def restart(self, state: State, key: PRNGKeyArray) -> State:
        """The state at the beginning of the next episode, which may know how the one before it ended."""
        del state
        return self.reset(key)

    def again(self, state: State, key: PRNGKeyArray) -> State:
        """The state at the beginning of another episode in the same world; here, of one like any other."""
        return self.restart(state, key)

    @abstractmethod
    def observe(self, state: State) -> Any:
        """What is seen of a state."""

    @abstractmethod
    def step(self, state: State, action: Any, key: PRNGKeyArray) -> tuple[State, Feedback]:
        """The state that an action leads to, and what came of it."""

    def cue(self, state: State) -> Bool[Array, ""]:
        """Whether something is seen of a state that will be wanted when it is seen no more."""
        del state
        return jnp.array(False)

    def held(self, state: State) -> Any:
        """What is remembered for whoever acts, where the environment does that; to be looked at."""
        del state
        return ()

    def text(self, state: Any) -> str:
        """A state in a line of text, for people: here, what is seen of it."""
        seen = np.asarray(flat(self.observation_space, self.observe(state)))
        return " ".join(f"{value:.2g}" for value in seen)

    def begin(self, key: PRNGKeyArray) -> Play:
        """The beginning of an endless sequence of episodes."""
        key, draw_key = jax.random.split(key)
        return Play(self.reset(draw_key), jnp.array(True), jnp.array(False), key)

    def act(self, play: Play, action: Any) -> tuple[Play, Feedback]:
        """One step of the sequence: an action, or the beginning of the next episode where the last one is over."""
        key, draw_key = jax.random.split(play.key)
        fresh = self.restart(play.state, draw_key)
        state, (reward, terminated, truncated) = self.step(play.state, action, draw_key)
        state = jax.tree.map(lambda fresh, state: jnp.where(play.over, fresh, state), fresh, state)
        feedback = Feedback(jnp.where(play.over, 0, reward), terminated & ~play.over, truncated & ~play.over)
        return Play(state, play.over, feedback.terminated | feedback.truncated, key), feedback
