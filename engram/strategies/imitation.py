"""Learning what a strategy does, from seeing it at play."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from engram.envs import AbstractEnv, Previous, Trials
from engram.envs.spaces import flat, width
from engram.strategies.base import AbstractStrategy, prior
from engram.strategies.trial import play
from engram.tasks.base import AbstractTask, Question, classification
from engram.types import InputError, Tally, Window


class Shelf(NamedTuple):
    """An endless sequence of trials, all drawn from one key, and the step that comes next."""

    key: PRNGKeyArray
    step: Int[Array, ""]


class Imitation(AbstractTask):
    """What a strategy will do in the next step of a trial is told from what it has seen and done so far.

    Inputs are what an agent sees in `Previous(Trials(env, episodes))`; the loss is the cross-entropy of the action. Whoever
    learns this can play as the strategy does: then what RL² lacks is not memory, but a way to find it.

        memoryless = NaN, optimum = NaN: strategies draw lots among actions of the same value

    **Arguments:**

    - `env`: `Bandit`, `GaussianBandit` or `TabularMDP`.
    - `strategy`: who is imitated.
    - `episodes`: of a trial.
    - `none`: as of `Previous`.

    Reference: Duan et al., *RL²: fast reinforcement learning via slow reinforcement learning*, 2016, section 3.1.
    """

    env: AbstractEnv
    strategy: AbstractStrategy
    episodes: int
    none: bool = True

    def __init__(self, env: AbstractEnv, strategy: AbstractStrategy, episodes: int, none: bool = True):
        if episodes < 1:
            raise InputError(f"Imitation(episodes={episodes}): give 1 episode at least.")
        self.env, self.strategy, self.episodes, self.none = env, strategy.ready(env, episodes), episodes, none

    @property
    def shown(self) -> Previous:
        """The environment that shows what this task shows."""
        return Previous(Trials(self.env, self.episodes), self.none)

    @property
    def steps(self) -> int:
        """The steps of a trial."""
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

    def begin(self, key: PRNGKeyArray) -> Shelf:
        return Shelf(key, jnp.zeros((), int))

    def emit(self, source: Shelf) -> tuple[Shelf, Window]:
        source, window = self._window(source, 1)
        return source, jax.tree.map(lambda leaf: leaf[0], window)

    def window(self, sources: Shelf, length: int) -> tuple[Shelf, Window]:
        return jax.vmap(lambda source: self._window(source, length))(sources)

    def loss(self, output: Float[Array, " actions"], targets: Question) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return classification(output, targets.label, targets.weight)

    def _window(self, source: Shelf, length: int) -> tuple[Shelf, Window]:
        """The next steps of all trials laid end to end: a trial is drawn whole, and cut."""
        number, time = source.step // self.steps, source.step % self.steps
        count = 1 + (length + self.steps - 2) // self.steps
        keys = jax.vmap(lambda trial: jax.random.fold_in(source.key, number + trial))(jnp.arange(count))
        trials = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), jax.vmap(self._trial)(keys))
        window = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, time, length), trials)
        return source._replace(step=source.step + length), window

    def _trial(self, key: PRNGKeyArray) -> Window:
        played = jax.tree.map(
            lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), play(self.env, self.strategy, self.episodes, key)
        )
        time = jnp.arange(self.steps)
        ended = (time > 0) & (time % prior(self.env).horizon == 0)
        before = jax.tree.map(lambda leaf: jnp.roll(leaf, 1).at[0].set(0), (played.action + int(self.none), played.reward))
        seen = {"observation": {"observation": played.seen, "ended": ended.astype(int)[:, None]}}
        seen |= {"action": before[0], "reward": before[1]}
        inputs = jax.vmap(lambda seen: flat(self.shown.observation_space, seen))(seen)
        return Window(time == 0, inputs, Question(played.action, jnp.ones(self.steps)))
