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


MOST_HOSTED = 32
"""The most copies of an environment on the host: each may be a process."""


def evaluate(
    env: AbstractEnv, policy: AbstractPolicy, key: PRNGKeyArray, episodes: int, max_steps: int = 100_000
) -> EpisodeStatistics:
    """Runs one whole episode in each of `episodes` copies of an environment: short and long episodes have equal weight.
    Of an environment on the host there are at most 32 copies, which run as many episodes each.

    **Arguments:**

    - `episodes`: the number of episodes.
    - `max_steps`: the steps after which a copy is abandoned.
    """
    reset_key, act_key = jax.random.split(key)
    copies = min(episodes, MOST_HOSTED) if env.hosted else episodes
    each = -(-episodes // copies)
    keys, places = example_keys(act_key, copies), jnp.arange(each)

    def unfinished(carry):
        *_, ended, time = carry
        return (time < max_steps) & jnp.any(ended < each)

    def one(carry):
        state, envs, found, ended, time = carry
        done = ended == each
        state, after, step = act(env, policy, state, envs.copies, keys, time)
        after = jax.tree.map(lambda old, new: _where(done, old, new), envs.copies, after)
        total = envs.episode_return + jnp.where(done, 0, step.reward)
        length = envs.episode_length + (~done & ~step.last).astype(int)
        ends = after.last & ~done
        here = ends[:, None] & (places == ended[:, None])
        found = EpisodeStatistics(
            jnp.where(here, total[:, None], found.returns), jnp.where(here, length[:, None], found.lengths)
        )
        envs = EnvStates(after, jnp.where(ends, 0, total), jnp.where(ends, 0, length))
        return state, envs, found, ended + ends.astype(int), time + 1

    nothing = EpisodeStatistics(jnp.full((copies, each), jnp.nan), jnp.zeros((copies, each), int))
    start = (
        initial_states(policy, copies),
        reset_envs(env, copies, reset_key),
        nothing,
        jnp.zeros(copies, int),
        jnp.zeros((), int),
    )
    _, envs, found, ended, _ = jax.lax.while_loop(unfinished, one, start)
    lengths = jnp.where(places == ended[:, None], envs.episode_length[:, None], found.lengths)
    return EpisodeStatistics(found.returns.reshape(-1)[:episodes], lengths.reshape(-1)[:episodes])


def _where(done, old, new):
    """`jnp.where` per copy, for arrays and PRNG keys."""
    return jnp.where(done.reshape(done.shape + (1,) * (new.ndim - 1)), old, new)
