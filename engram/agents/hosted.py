"""Acting in environments that the host steps, such as Gymnasium's, and learning from it.

A rollout is the same as of environments in JAX, `engram.agents.rollout`, and an agent learns from it by the same code: what
is decided in a step is one compiled program, all that is learnt from a rollout is another, and between them the host steps.

    env = engram.envs.from_gymnasium("CartPole-v1", 8)
    agent = engram.PPO(env, engram.BPTT(), optax.adam(3e-4))
    state = hosted.init(agent, model, seed=0, key=key)
    for _ in range(100):
        state, outcome = hosted.update(agent, state, 128)

What goes on in the environments themselves is not part of an agent's state, and is not saved with it.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from engram.agents.acting import Choice, Playing, Steps, decide, gathered, record
from engram.agents.base import AbstractAgent, Acting, acting_key
from engram.cell import State
from engram.envs.base import Feedback, Play
from engram.envs.host import HostEnv
from engram.estimators.base import example_keys
from engram.step import Model
from engram.types import InputError, Keys, Outcome, Tally


class Happened(NamedTuple):
    """A step as the host knows it: what was seen and done, where episodes begin and are over after it, what came of it."""

    seen: Float[Array, "batch features"]
    choice: Choice
    first: Bool[Array, " batch"]
    over: Bool[Array, " batch"]
    feedback: Feedback


def begin(env: HostEnv, seed: int) -> Playing:
    """The environments at their beginning."""
    first = jnp.ones(env.copies, bool)
    plays = _plays(env.start(seed), first, ~first, env.copies)
    return Playing(plays, jnp.zeros(env.copies), jnp.zeros(env.copies, int))


def rollout(
    env: HostEnv, model: Model, state: State, playing: Playing, key: Keys, length: int, greedy: bool = False
) -> tuple[State, Playing, Steps, dict[str, Tally]]:
    """Plays so many steps, as `engram.agents.rollout` does."""
    keys, plays, happened = example_keys(key, env.copies), playing.plays, []
    for time in range(length):
        state, seen, choice = _decide(env, model, state, plays, keys, jnp.asarray(time, int), greedy)
        seen, choice, first = jax.device_get((seen, choice, plays.over))
        observation, feedback = env.play(first, choice.action)
        over = feedback.terminated | feedback.truncated
        plays = _plays(observation, first, over, env.copies)
        happened.append(Happened(seen, choice, first, over, feedback))
    together = jax.tree.map(lambda *leaves: np.stack(leaves), *happened)
    playing, steps, scores = _gather(playing, together)
    return state, Playing(plays, playing.total, playing.length), steps, scores


def init(agent: AbstractAgent, model: Model, *, seed: int, key: PRNGKeyArray) -> Acting:
    """The state before the first update; `seed` is that of the environments."""
    return agent.start(model, begin(_env(agent), seed), key)


def update(agent: AbstractAgent, state: Acting, length: int) -> tuple[Acting, Outcome]:
    """Plays so many steps of each environment, and learns from them, as `agent.update` does."""
    key = acting_key(state)
    return _finish(agent, state, *rollout(_env(agent), state.model, state.carry.state, state.playing, key, length))


def _env(agent: AbstractAgent) -> HostEnv:
    if not isinstance(agent.env, HostEnv):
        raise InputError(
            f"{type(agent).__name__}(env={type(agent.env).__name__}): the host steps a HostEnv alone; use the agent's own "
            f"init and update."
        )
    return agent.env


_decide = eqx.filter_jit(decide)


@eqx.filter_jit
def _plays(observation: PyTree, first: Bool[Array, " batch"], over: Bool[Array, " batch"], copies: int) -> Play:
    """What the host shows, in the form of environments in JAX; there is no chance in it."""
    keys = jax.random.split(jax.random.key(0), copies)
    return jax.vmap(Play)(observation, first, over, keys)


@eqx.filter_jit
def _gather(playing: Playing, happened: Happened) -> tuple[Playing, Steps, dict[str, Tally]]:
    """What a rollout did to environments, but for what is seen of them now, its steps, and its scores."""

    def one(playing, now):
        seen, choice, first, over, feedback = now
        return record(playing, seen, choice, jax.vmap(Play)(None, first, over, playing.plays.key), feedback)

    plays = playing.plays
    unseen = jax.vmap(Play)(None, plays.first, plays.over, plays.key)
    happened = jax.tree.map(_converted, happened)
    playing, steps = jax.lax.scan(one, Playing(unseen, playing.total, playing.length), happened)
    return playing, *gathered(*steps)


def _converted(leaf: Array) -> Array:
    return leaf.astype(float) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


@eqx.filter_jit
def _finish(
    agent: AbstractAgent, state: Acting, memory: State, playing: Playing, steps: Steps, scores: dict[str, Tally]
) -> tuple[Acting, Outcome]:
    return agent.finish(state, memory, playing, steps, scores)
