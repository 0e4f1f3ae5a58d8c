"""Strategies as policies, and their scores in thousands of worlds at once."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.acting import AbstractPolicy, EnvStates, Trajectory, rollout
from farback.envs import AbstractEnv, PreviousActionReward, Trials
from farback.envs.base import State
from farback.ops.batching import compute_where
from farback.strategies.base import AbstractStrategy, prior
from farback.strategies.belief import AbstractBelief, Values
from farback.types import InputError, Keys


class StrategyState(NamedTuple):
    """The belief at the beginning of a trial and now, the table of values of this episode, and the last step.

    - `place`, `action`: the state that was observed, and the action there.
    - `time`, `episode`: the step within the episode, and the episode within the trial.
    """

    start: AbstractBelief
    belief: AbstractBelief
    table: Values
    place: Int[Array, ""]
    action: Int[Array, ""]
    time: Int[Array, ""]
    episode: Int[Array, ""]


class StrategyPolicy(AbstractPolicy):
    """A strategy that acts in `trials(env, episodes)`: it plans at the beginning of each episode, from its belief.

    **Arguments:**

    - `strategy`: the strategy, ready for these trials.
    - `env`: `Bandit`, `GaussianBandit` or `TabularMDP`.
    """

    strategy: AbstractStrategy
    env: AbstractEnv

    def initial(self) -> StrategyState:
        return self.begin(self.env.reset(jax.random.key(0)))

    def begin(self, world: Any) -> StrategyState:
        """The state before a trial in a world, which only `Oracle` uses."""
        belief = self.strategy.prior(self.env, world)
        shape = jax.eval_shape(lambda: self.strategy.values(belief, jnp.zeros((), int), jax.random.key(0)))
        zero = jnp.zeros((), int)
        return StrategyState(belief, belief, jnp.zeros(shape.shape, shape.dtype), zero, zero, zero, zero)

    def __call__(
        self, state: StrategyState, observation: Any, first: Any, key: PRNGKeyArray
    ) -> tuple[StrategyState, Int[Array, ""], tuple[()]]:
        seen = observation["observation"]
        place, ended = state.belief.state_index(seen["observation"]), seen["ended"][0] > 0
        learnt = state.belief.update(state.place, state.action, observation["reward"], place, ended)
        belief = jax.tree.map(lambda start, now: jnp.where(first, start, now), state.start, learnt)
        episode = jnp.where(first, 0, state.episode + ended.astype(int))
        time = jnp.where(first | ended, 0, state.time + 1)
        plan_key, choice_key = jax.random.split(key)
        table = compute_where(first | ended, lambda: self.strategy.values(belief, episode, plan_key), state.table)
        action = best(table[time, place], choice_key)
        return StrategyState(state.start, belief, table, place, action, time, episode), action, ()


def trials(env: AbstractEnv, episodes: int, none: bool = True) -> PreviousActionReward:
    """The environment that a strategy acts in: trials of several episodes, with the last action and reward observed."""
    return PreviousActionReward(Trials(env, episodes), none)


def play(shown: PreviousActionReward, strategy: AbstractStrategy, keys: Keys) -> tuple[State, Trajectory]:
    """A trial for each of several keys.

    With the same keys, every strategy gets the same worlds, and the same random numbers at each step.

    **Arguments:**

    - `shown`: the environment, of `trials`.
    - `strategy`: the strategy, ready for such trials.

    **Returns:** `(worlds, trajectory)`: the states of the inner environment at the beginning of the trials, and their
    steps, leading axes `[trials, steps]`.
    """
    assert isinstance(shown.env, Trials)
    env, episodes, count = shown.env.env, shown.env.episodes, len(keys)
    policy = StrategyPolicy(strategy, env)
    world_keys, act_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    copies = jax.vmap(shown.auto_reset)(world_keys)
    worlds = copies.state.state.state
    envs = EnvStates(copies, jnp.zeros(count), jnp.zeros(count, int))
    states = jax.vmap(policy.begin)(worlds)
    return worlds, rollout(shown, policy, states, envs, act_keys, episodes * prior(env).horizon)[2]


def score(
    env: AbstractEnv, strategy: AbstractStrategy, episodes: int, instances: int, *, key: PRNGKeyArray, chunk: int = 5000
) -> Float[Array, "instances episodes"]:
    """The return of each episode of trials in independent worlds.

    With the same key, every strategy gets the same worlds, and the same random numbers at each step.

    **Arguments:**

    - `env`: `Bandit`, `GaussianBandit` or `TabularMDP`.
    - `strategy`: the strategy.
    - `episodes`: the number of episodes of a trial.
    - `instances`: the number of trials.
    - `chunk`: the number of trials that are played in parallel.
    """
    if episodes < 1 or instances < 1:
        raise InputError(f"score(episodes={episodes}, instances={instances}): give 1 or more of each.")
    keys, ready = jax.random.split(key, instances), _with_arrays(strategy.ready(env, episodes))
    parts = [_score(env, ready, episodes, keys[start : start + chunk]) for start in range(0, instances, chunk)]
    return jnp.concatenate(parts)


@eqx.filter_jit
def _score(env, strategy, episodes, keys):
    return play(trials(env, episodes), strategy, keys)[1].reward.reshape(len(keys), episodes, -1).sum(-1)


def _with_arrays(strategy: AbstractStrategy) -> AbstractStrategy:
    """The strategy with its floats as arrays, so that one compiled program serves all their values."""

    def array(leaf):
        return jnp.asarray(leaf) if isinstance(leaf, float) else leaf

    return jax.tree.map(array, strategy, is_leaf=lambda part: isinstance(part, AbstractEnv))


def best(values: Float[Array, " actions"], key: PRNGKeyArray) -> Int[Array, ""]:
    """The action with the largest value. Ties are broken at random."""
    return jnp.argmax(jnp.where(values == values.max(), jax.random.uniform(key, values.shape), -1.0))
