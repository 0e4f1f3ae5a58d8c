"""Acting: environments played side by side by a model that remembers."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from engram.agents.distributions import distribution
from engram.cell import State, reset
from engram.envs.base import AbstractEnv, Feedback, Play
from engram.envs.spaces import flat
from engram.estimators.base import example_keys
from engram.step import Model
from engram.types import Keys, Tally


class Steps(eqx.Module):
    """What was seen and done in each step of a rollout, and what came of it; leading axes `[batch, time]`.

    - `first`: whether the observation begins an episode, before which the memory was reset.
    - `over`: whether it is an episode's last, so that the action counts for nothing.
    - `seen`: the observation, flattened.
    - `action`, `log_prob`: what was done, and how likely it was.
    - `value`: what was expected, of the model's second output.
    - `reward`, `terminated`, `truncated`: what came of the action.
    """

    first: Bool[Array, "*steps"]
    over: Bool[Array, "*steps"]
    seen: Float[Array, "*steps features"]
    action: Array
    log_prob: Float[Array, "*steps"]
    value: Float[Array, "*steps"]
    reward: Float[Array, "*steps"]
    terminated: Bool[Array, "*steps"]
    truncated: Bool[Array, "*steps"]


class Playing(eqx.Module):
    """Environments being played, one for each sequence of the batch, and what their episodes have brought so far."""

    plays: Play
    total: Float[Array, " batch"]
    length: Int[Array, " batch"]


class Thought(NamedTuple):
    """What a model puts out: what a policy's `distribution` reads, and the value."""

    policy: PyTree[Array]
    value: Float[Array, ""]


def begin(env: AbstractEnv, batch: int, key: PRNGKeyArray) -> Playing:
    """So many environments at their beginning."""
    plays = jax.vmap(env.begin)(jax.random.split(key, batch))
    return Playing(plays, jnp.zeros(batch), jnp.zeros(batch, int))


def think(
    env: AbstractEnv, model: Model, state: State, plays: Play
) -> tuple[State, Float[Array, "batch features"], Thought]:
    """The memories after they have seen the present observations, these, and what is thought of them."""

    def one(state, play):
        seen = flat(env.observation_space, env.observe(play.state))
        state, (policy, value) = model(reset(model, state, play.first), seen)
        return state, seen, Thought(policy, value[0])

    return jax.vmap(one)(state, plays)


class Choice(NamedTuple):
    """What is done, how likely it was, and what was expected."""

    action: Array
    log_prob: Float[Array, ""]
    value: Float[Array, ""]


def decide(
    env: AbstractEnv, model: Model, state: State, plays: Play, keys: Keys, time: Int[Array, ""], greedy: bool = False
) -> tuple[State, Float[Array, "batch features"], Choice]:
    """The memories after the present observations, these, and what is done about them."""
    state, seen, thought = think(env, model, state, plays)

    def one(thought, key):
        chances = distribution(env.action_space, thought.policy)
        action = chances.mode() if greedy else chances.sample(jax.random.fold_in(key, time))
        return Choice(action, chances.log_prob(action), thought.value)

    return state, seen, jax.vmap(one)(thought, keys)


def record(
    playing: Playing, seen: Float[Array, "batch features"], choice: Choice, after: Play, feedback: Feedback
) -> tuple[Playing, tuple[Steps, dict[str, Tally]]]:
    """The environments after an action, its step, and the scores of the episodes that it ended."""
    plays = playing.plays
    steps = Steps(plays.first, plays.over, seen, *choice, *feedback)
    total, count = playing.total + feedback.reward, playing.length + (~plays.over).astype(int)
    playing = Playing(after, jnp.where(after.over, 0, total), jnp.where(after.over, 0, count))
    return playing, (steps, _scores(total, count, after.over))


def gathered(steps: Steps, scores: dict[str, Tally]) -> tuple[Steps, dict[str, Tally]]:
    """The steps of a rollout and its scores, from those of each time."""
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), steps), jax.tree.map(jnp.sum, scores)


def rollout(
    env: AbstractEnv, model: Model, state: State, playing: Playing, key: Keys, length: int, greedy: bool = False
) -> tuple[State, Playing, Steps, dict[str, Tally]]:
    """Plays so many steps; gives memories and environments after them, the steps, and scores of the episodes that ended.

    Each environment draws its actions from a key of its own, split off from one, or given. With `greedy`, the likeliest
    action is taken.
    """
    keys = example_keys(key, len(playing.total))

    def one(carried, time):
        state, playing = carried
        state, seen, choice = decide(env, model, state, playing.plays, keys, time, greedy)
        after, feedback = jax.vmap(env.act)(playing.plays, choice.action)
        playing, happened = record(playing, seen, choice, after, feedback)
        return (state, playing), happened

    (state, playing), happened = jax.lax.scan(one, (state, playing), jnp.arange(length))
    return state, playing, *gathered(*happened)


class Episodes(NamedTuple):
    """What whole episodes brought; NaN and the longest length where an episode did not end."""

    returns: Float[Array, " episodes"]
    lengths: Int[Array, " episodes"]


def episodes(env: AbstractEnv, model: Model, key: PRNGKeyArray, count: int, longest: int = 100_000) -> Episodes:
    """Plays so many episodes, one in each copy of an environment, to their ends: short ones count no more than long ones.

    What did not end after `longest` steps is given up.
    """
    begin_key, act_key = jax.random.split(key)
    keys, memory = example_keys(act_key, count), jax.vmap(lambda _: model.initial())(jnp.arange(count))

    def going(carried):
        _, playing, time = carried
        return (time < longest) & ~playing.plays.over.all()

    def one(carried):
        state, playing, time = carried
        plays = playing.plays
        state, _, choice = decide(env, model, state, plays, keys, time)
        after, feedback = jax.vmap(env.act)(plays, choice.action)
        after = jax.tree.map(lambda old, new: _where(plays.over, old, new), plays, after)
        total = playing.total + jnp.where(plays.over, 0, feedback.reward)
        length = playing.length + (~plays.over).astype(int)
        return state, Playing(after, total, length), time + 1

    start = (memory, begin(env, count, begin_key), jnp.zeros((), int))
    _, playing, _ = jax.lax.while_loop(going, one, start)
    return Episodes(jnp.where(playing.plays.over, playing.total, jnp.nan), playing.length)


def _where(over, old, new):
    """By example, of arrays and of keys."""
    over = over.reshape(over.shape + (1,) * (new.ndim - 1))
    return jnp.where(over, old, new)


def _scores(total, length, ended) -> dict[str, Tally]:
    weight = ended.astype(total.dtype)
    return {
        "episodic_return": Tally(jnp.sum(weight * total), jnp.sum(weight)),
        "episodic_length": Tally(jnp.sum(weight * length.astype(total.dtype)), jnp.sum(weight)),
    }


def next_value(env: AbstractEnv, model: Model, state: State, playing: Playing) -> Float[Array, " batch"]:
    """The values of the observations that are still to be acted on."""
    return think(env, model, state, playing.plays)[2].value
