"""Imitation of a strategy as a supervised task."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.envs import AbstractEnv, PreviousActionReward
from farback.envs.spaces import flat, width
from farback.strategies.base import AbstractStrategy, prior
from farback.strategies.policy import play, trials
from farback.tasks.base import AbstractTask, Question, classification
from farback.types import InputError, Keys, Tally, Window


class ImitationSource(NamedTuple):
    """An endless sequence of trials, all drawn from one key, and the next step."""

    key: PRNGKeyArray
    step: Int[Array, ""]


class Imitation(AbstractTask):
    """Predicts the next action of a strategy from its observations and actions so far.

    Inputs are the observations of `PreviousActionReward(Trials(env, episodes))`, and the loss is the cross-entropy of the
    action. A network that learns it can act as the strategy does. Then its memory suffices, and a shortfall of RL² is due
    to training.

        memoryless = NaN, optimum = NaN: strategies choose at random among actions of equal value

    **Arguments:**

    - `env`: `Bandit`, `GaussianBandit` or `TabularMDP`.
    - `strategy`: the strategy to imitate.
    - `episodes`: the number of episodes of a trial.
    - `none`: as in `PreviousActionReward`.

    Reference: Duan et al., *RL²: fast reinforcement learning via slow reinforcement learning*, 2016, section 3.1.
    """

    env: AbstractEnv
    strategy: AbstractStrategy
    episodes: int
    none: bool = True

    def __init__(self, env: AbstractEnv, strategy: AbstractStrategy, episodes: int, none: bool = True):
        if episodes < 1:
            raise InputError(f"Imitation(episodes={episodes}): give episodes >= 1.")
        self.env, self.strategy, self.episodes, self.none = env, strategy.ready(env, episodes), episodes, none

    @property
    def shown(self) -> PreviousActionReward:
        """The environment whose observations are the inputs."""
        return trials(self.env, self.episodes, self.none)

    @property
    def episode_length(self) -> int:
        """The number of steps of a trial."""
        return self.episodes * prior(self.env).horizon

    @property
    def input_size(self) -> int:
        return width(self.shown.observation_space)

    @property
    def output_size(self) -> int:
        return width(self.env.action_space)

    @property
    def optimum(self) -> float:
        return math.nan

    @property
    def memoryless(self) -> float:
        return math.nan

    def begin(self, key: PRNGKeyArray) -> ImitationSource:
        return ImitationSource(key, jnp.zeros((), int))

    def emit(self, source: ImitationSource) -> tuple[ImitationSource, Window]:
        source, window = self._window(source, 1)
        return source, jax.tree.map(lambda leaf: leaf[0], window)

    def window(self, sources: ImitationSource, length: int) -> tuple[ImitationSource, Window]:
        return jax.vmap(lambda source: self._window(source, length))(sources)

    def loss(self, output: Float[Array, " actions"], targets: Question) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return classification(output, targets.label, targets.weight)

    def _window(self, source: ImitationSource, length: int) -> tuple[ImitationSource, Window]:
        """The next steps of the concatenated trials. Trials are drawn whole, and then cut."""
        number, time = source.step // self.episode_length, source.step % self.episode_length
        count = 1 + (length + self.episode_length - 2) // self.episode_length
        keys = jax.vmap(lambda trial: jax.random.fold_in(source.key, number + trial))(jnp.arange(count))
        trials = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), self._trials(keys))
        window = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, time, length), trials)
        return source._replace(step=source.step + length), window

    def _trials(self, keys: Keys) -> Window:
        """A trial for each of several keys, axes `[trials, time]`."""
        _, played = play(self.shown, self.strategy, keys)
        inputs = jax.vmap(jax.vmap(lambda seen: flat(self.shown.observation_space, seen)))(played.observation)
        return Window(played.first, inputs, Question(played.action, jnp.ones_like(played.reward)))
