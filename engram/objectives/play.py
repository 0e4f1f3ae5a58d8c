"""Episodes of an environment that is played."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from engram.envs.base import AbstractEnv, Play, State
from engram.envs.spaces import flat, sample, width
from engram.objectives.episodes import AbstractEpisodes, Recording, known_steps
from engram.objectives.returns import Rewarded, discounted
from engram.tasks.base import regression
from engram.types import InputError, Tally, Told


class AbstractPlay(AbstractEpisodes):
    """Episodes of an environment. Asked is the return from a step on,

        G_k = r_k + γ r_{k+1} + …,

    by who is told its observation and its action; charged is the squared error. With γ = 0, as in the paper's T-maze, it is
    the reward of that step.

    - `env`: what is seen and told.
    - `steps`: after which an episode is broken off.
    - `gamma`: γ.
    """

    env: eqx.AbstractVar[AbstractEnv]
    gamma: eqx.AbstractVar[float]

    @property
    def sizes(self) -> tuple[int, int, int]:
        seen = width(self.env.observation_space)
        return seen, seen + width(self.env.action_space), 1

    @property
    @abstractmethod
    def acted(self) -> AbstractEnv:
        """What is acted in: `env`, or a wrapper of it."""

    @abstractmethod
    def mind(self) -> PyTree[Array]:
        """What who plays remembers before an episode."""

    @abstractmethod
    def choose(self, mind: PyTree[Array], play: Play, key: PRNGKeyArray) -> tuple[PyTree[Array], Any]:
        """What is remembered after an observation, and what is done about it."""

    def within(self, state: State) -> State:
        """The state of `env` in that of what is acted in."""
        return state

    def draw(self, count: int, key: PRNGKeyArray) -> Recording:
        return jax.vmap(self._one)(jax.random.split(key, count))

    def _one(self, key: PRNGKeyArray) -> Recording:
        begin_key, key = jax.random.split(key)

        def step(now, key):
            mind, play = now
            seen = flat(self.env.observation_space, self.env.observe(self.within(play.state)))
            mind, action = self.choose(mind, play, key)
            after, feedback = self.acted.act(play, action)
            asked = jnp.concatenate([seen, flat(self.env.action_space, action)])
            return (mind, after), (Told(seen, asked), feedback, play.over)

        start = (self.mind(), self.acted.begin(begin_key))
        _, (told, feedback, over) = jax.lax.scan(step, start, jax.random.split(key, self.steps))
        gone = jnp.cumsum(over) > 0
        ended = feedback.terminated | feedback.truncated | gone
        rewarded = Rewarded(feedback.reward, feedback.terminated, ended, jnp.zeros(self.steps + 1))
        return Recording(told, jnp.where(gone, 0, discounted(rewarded, self.gamma)), ~gone)

    def loss(self, output: Float[Array, "1"], target: Float[Array, ""]) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return regression(output, target[None].astype(output.dtype), jnp.ones((), output.dtype))


def checked_gamma(gamma: float) -> float:
    """A discount, once it is known to be one."""
    if not 0 <= gamma <= 1:
        raise InputError(f"gamma={gamma}: a discount is between 0 and 1.")
    return gamma


class RandomPlay(AbstractPlay):
    """Episodes of an environment under random actions; asked is the return from a step on, as of `AbstractPlay`.

    **Arguments:**

    - `env`: the environment.
    - `steps`: after which an episode is broken off; by default those of the longest one, where the environment says so.
    - `gamma`: γ.
    """

    env: AbstractEnv
    steps: int
    gamma: float

    def __init__(self, env: AbstractEnv, steps: int | None = None, gamma: float = 0.0):
        self.env, self.steps, self.gamma = env, known_steps(steps, env.steps, env), checked_gamma(gamma)

    @property
    def acted(self) -> AbstractEnv:
        return self.env

    def mind(self) -> PyTree[Array]:
        return ()

    def choose(self, mind: PyTree[Array], play: Play, key: PRNGKeyArray) -> tuple[PyTree[Array], Any]:
        del play
        return mind, sample(self.env.action_space, key)
