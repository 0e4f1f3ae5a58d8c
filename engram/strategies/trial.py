"""Strategies at play, in thousands of worlds at once."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from engram.envs import AbstractEnv
from engram.envs.base import State
from engram.strategies.base import AbstractStrategy
from engram.types import InputError


class Played(NamedTuple):
    """What was seen and done in the steps of the episodes of a trial, and what it was worth."""

    seen: PyTree[Array]
    action: Int[Array, "episodes time"]
    reward: Float[Array, "episodes time"]


def score(
    env: AbstractEnv, strategy: AbstractStrategy, episodes: int, instances: int, *, key: PRNGKeyArray, at_once: int = 5000
) -> Float[Array, "instances episodes"]:
    """The return of each episode of trials in worlds of their own.

    With the same key, every strategy is played in the same worlds, and with the same chance in each of their steps.

    **Arguments:**

    - `env`: `Bandit`, `GaussianBandit` or `TabularMDP`.
    - `strategy`: who plays.
    - `episodes`: of a trial.
    - `instances`: how many trials.
    - `at_once`: how many of them are played in parallel.
    """
    if episodes < 1 or instances < 1:
        raise InputError(f"score(episodes={episodes}, instances={instances}): give 1 at least of each.")
    keys, ready = jax.random.split(key, instances), _traced(strategy.ready(env, episodes))
    parts = [_score(env, ready, episodes, keys[start : start + at_once]) for start in range(0, instances, at_once)]
    return jnp.concatenate(parts)


@eqx.filter_jit
def _score(env, strategy, episodes, keys):
    return jax.vmap(lambda key: play(env, strategy, episodes, key).reward.sum(-1))(keys)


def _traced(strategy: AbstractStrategy) -> AbstractStrategy:
    """With its numbers as arrays: what is compiled for one of them serves for all."""

    def array(leaf):
        return jnp.asarray(leaf) if isinstance(leaf, float) else leaf

    return jax.tree.map(array, strategy, is_leaf=lambda part: isinstance(part, AbstractEnv))


def play(env: AbstractEnv, strategy: AbstractStrategy, episodes: int, key: PRNGKeyArray) -> Played:
    """One trial of a strategy that is ready for it."""
    for_world, *keys = jax.random.split(key, 3)
    return play_in(env, strategy, episodes, env.reset(for_world), *keys)


def play_in(
    env: AbstractEnv,
    strategy: AbstractStrategy,
    episodes: int,
    state: State,
    for_steps: PRNGKeyArray,
    for_strategy: PRNGKeyArray,
) -> Played:
    """The same, in a world that is given, at its beginning; with a key of what happens there, and one of the strategy's."""

    def step(running, time, table, chance, choice):
        state, belief = running
        seen = env.observe(state)
        place = belief.place(seen)
        action = best(table[time, place], jax.random.fold_in(choice, time))
        following, feedback = env.step(state, action, jax.random.fold_in(chance, time))
        ended = feedback.terminated | feedback.truncated
        belief = belief.learn(place, action, feedback.reward, belief.place(env.observe(following)), ended)
        return (following, belief), Played(seen, action, feedback.reward)

    def episode(running, count):
        state, belief = running
        chance = jax.random.fold_in(for_steps, count)
        thought, choice = jax.random.split(jax.random.fold_in(for_strategy, count))
        table = strategy.values(belief, count, thought)
        running, played = jax.lax.scan(
            lambda running, time: step(running, time, table, chance, choice),
            (state, belief),
            jnp.arange(belief.horizon),
        )
        return (env.again(running[0], chance), running[1]), played

    return jax.lax.scan(episode, (state, strategy.prior(env, state)), jnp.arange(episodes))[1]


def best(values: Float[Array, " actions"], key: PRNGKeyArray) -> Int[Array, ""]:
    """The action of the largest value; one of them at random where there are several."""
    return jnp.argmax(jnp.where(values == values.max(), jax.random.uniform(key, values.shape), -1.0))
