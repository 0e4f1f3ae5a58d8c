"""Returns and lengths of whole episodes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.acting.policy import AbstractPolicy
from farback.acting.rollout import EnvStates, act, initial_states, reset_envs
from farback.envs.base import AbstractEnv
from farback.ops.random import example_keys


class EpisodeStatistics(NamedTuple):
    """The undiscounted return and the length of each episode. The return of an unfinished episode is NaN."""

    returns: Float[Array, " episodes"]
    lengths: Int[Array, " episodes"]


def evaluate(
    env: AbstractEnv, policy: AbstractPolicy, key: PRNGKeyArray, episodes: int, max_steps: int = 100_000
) -> EpisodeStatistics:
    """Runs one whole episode in each of `episodes` copies of an environment: short and long episodes have equal weight.

    **Arguments:**

    - `episodes`: the number of episodes.
    - `max_steps`: the steps after which an episode is abandoned.
    """
    reset_key, act_key = jax.random.split(key)
    keys = example_keys(act_key, episodes)

    def unfinished(carry):
        _, envs, time = carry
        return (time < max_steps) & ~envs.copies.last.all()

    def one(carry):
        state, envs, time = carry
        done = envs.copies.last
        state, after, step = act(env, policy, state, envs.copies, keys, time)
        after = jax.tree.map(lambda old, new: _where(done, old, new), envs.copies, after)
        total = envs.episode_return + jnp.where(done, 0, step.reward)
        return state, EnvStates(after, total, envs.episode_length + (~done).astype(int)), time + 1

    start = (initial_states(policy, episodes), reset_envs(env, episodes, reset_key), jnp.zeros((), int))
    _, envs, _ = jax.lax.while_loop(unfinished, one, start)
    return EpisodeStatistics(jnp.where(envs.copies.last, envs.episode_return, jnp.nan), envs.episode_length)


def _where(done, old, new):
    """`jnp.where` per copy, for arrays and PRNG keys."""
    return jnp.where(done.reshape(done.shape + (1,) * (new.ndim - 1)), old, new)
