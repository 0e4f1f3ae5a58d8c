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

from typing import Any, NamedTuple

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


class Shown(NamedTuple):
    """What the host shows of environments: observations, whether they begin episodes, and whether they are the last."""

    observation: PyTree
    first: Bool[Array, " batch"]
    over: Bool[Array, " batch"]

    def plays(self, key: Keys) -> Play:
        """The same as of environments in JAX, of whose chance nothing is known."""
        return jax.vmap(Play)(*self, key)


class Happened(NamedTuple):
    """A step as the host knows it: what was seen and done, what is shown after it, and what came of it."""

    seen: Float[Array, "batch features"]
    choice: Choice
    after: Shown
    feedback: Feedback


def begin(env: HostEnv, seed: int) -> Playing:
    """The environments at their beginning."""
    shown = Shown(env.start(seed), jnp.ones(env.copies, bool), jnp.zeros(env.copies, bool))
    shown = jax.tree.map(jnp.asarray, shown)
    plays = shown.plays(jax.random.split(jax.random.key(seed), env.copies))
    return Playing(plays, jnp.zeros(env.copies), jnp.zeros(env.copies, int))


def rollout(
    env: HostEnv, model: Model, state: State, playing: Playing, key: Keys, length: int, greedy: bool = False
) -> tuple[State, Playing, Steps, dict[str, Tally]]:
    """Plays so many steps, as `engram.agents.rollout` does."""
    keys, plays, happened = example_keys(key, env.copies), playing.plays, []
    shown = Shown(plays.state, plays.first, plays.over)
    for time in range(length):
        state, seen, choice = _decide(env, model, state, shown, keys, np.asarray(time), greedy)
        seen, choice, over = jax.device_get((seen, choice, shown.over))
        observation, feedback = env.play(over, choice.action)
        shown = Shown(observation, over, feedback.terminated | feedback.truncated)
        happened.append(Happened(seen, choice, shown._replace(observation=None), feedback))
    return state, *_gather(playing, jax.tree.map(lambda *leaves: np.stack(leaves), *happened), shown)


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


@eqx.filter_jit
def _decide(env: HostEnv, model: Model, state: State, shown: Shown, keys: Keys, time: Any, greedy: bool) -> Any:
    return decide(env, model, state, shown.plays(keys), keys, time, greedy)


@eqx.filter_jit
def _gather(playing: Playing, happened: Happened, last: Shown) -> tuple[Playing, Steps, dict[str, Tally]]:
    """The environments after a rollout, its steps, and its scores."""
    plays = playing.plays
    unseen = Shown(None, plays.first, plays.over).plays(plays.key)

    def one(playing, now):
        return record(playing, now.seen, now.choice, now.after.plays(plays.key), now.feedback)

    feedback = happened.feedback._replace(reward=happened.feedback.reward.astype(float))
    start = Playing(unseen, playing.total, playing.length)
    after, steps = jax.lax.scan(one, start, happened._replace(feedback=feedback))
    return Playing(last.plays(plays.key), after.total, after.length), *gathered(*steps)


@eqx.filter_jit
def _finish(
    agent: AbstractAgent, state: Acting, memory: State, playing: Playing, steps: Steps, scores: dict[str, Tally]
) -> tuple[Acting, Outcome]:
    return agent.finish(state, memory, playing, steps, scores)
