"""Policies in bandits: the arms that they pull, and a network that imitates a strategy."""

import math
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from farback.acting import AbstractPolicy, evaluate, reset_envs, rollout
from farback.acting.policy import PolicyState
from farback.acting.rollout import initial_states
from farback.cell import reset
from farback.envs import AbstractEnv, Bandit
from farback.envs.spaces import flat
from farback.network import Network
from farback.ops.distributions import distribution
from farback.papers.engine.item import RETURN, Case, Metric, Place
from farback.papers.engine.runs import clipped_adam, computed, configured, evaluation, rows_of
from farback.papers.rl2.learnt import GATED, Budget, Way, learner
from farback.papers.rl2.worlds import Watched, bandit, contestant
from farback.reports.choices import ARM
from farback.runs.expressions import express
from farback.runs.kinds import build
from farback.runs.log import Row
from farback.runs.saved import LoadedRun, evaluation_key
from farback.strategies import AbstractStrategy, Gittins, Thompson
from farback.strategies.policy import play
from farback.strategies.policy import trials as shown

BEST, TEACHER = Metric(ARM.format(0), "share"), "Gittins(0.98)"


def arms(way: Way, place: tuple[int, int], budget: Budget, watched: Watched) -> list[Case]:
    """RL² and two strategies, each in worlds of its own."""
    (pulls, count), setting, worlds = place, bandit(place), watched.trials
    trials, env = build(setting.trials, AbstractEnv), Bandit(count)

    @eqx.filter_jit
    def of_policy(policy, key):
        reset_key, key = jax.random.split(key)
        envs = reset_envs(trials, worlds, reset_key)
        means = jax.vmap(env.means)(envs.copies.state.state.state)
        return shares(means, rollout(trials, policy, initial_states(policy, worlds), envs, key, pulls)[2].action)

    @eqx.filter_jit
    def of_strategy(strategy, key):
        worlds_drawn, played = play(shown(env, pulls), strategy, jax.random.split(key, worlds))
        return shares(jax.vmap(env.means)(worlds_drawn), played.action)

    def policies(run: LoadedRun) -> list[Row]:
        return [row for seed in run.networks() for row in _rows(seed, of_policy(run.policy(seed), evaluation_key(seed)))]

    def strategy(strategy: AbstractStrategy, at: Place) -> tuple[list[Row], str]:
        return _rows(0, of_strategy(strategy.ready(env, pulls), jax.random.key(0))), ""

    measures = {GATED: evaluation(learner(way, setting, budget), policies, name="arms")}
    measures |= {type(one).__name__: computed(partial(strategy, one)) for one in (Gittins(0.98), Thompson())}
    return [Case(f"{setting.name}: {name}", measure) for name, measure in measures.items()]


def shares(means: Float[Array, "worlds arms"], action: Int[Array, "worlds pulls"]) -> Float[Array, "arms pulls"]:
    """The share of worlds in which each arm is pulled at each time, with the arms sorted by mean, the best first."""
    place = jnp.argsort(jnp.argsort(-means, axis=1), axis=1)
    pulled = jnp.take_along_axis(place, action, axis=1)
    return jnp.mean((pulled == jnp.arange(means.shape[1])[:, None, None]).astype(float), axis=1)


def _rows(seed: int, shares: Float[Array, "arms pulls"]) -> list[Row]:
    columns = [{ARM.format(arm): share for arm, share in enumerate(column)} for column in shares.T.tolist()]
    return [{"update": pull, "step": pull, "seed": seed} | column for pull, column in enumerate(columns, 1)]


class ImitationPolicy(AbstractPolicy):
    """Draws actions from the logits of a network that was trained on the flat observations of an environment."""

    network: Network
    env: AbstractEnv

    def initial(self) -> PolicyState:
        return self.network.memory.initial()

    def __call__(self, state: PolicyState, observation: Any, first: Any, key: PRNGKeyArray) -> tuple[PolicyState, Any, Any]:
        features = self.network.encoder(flat(self.env.observation_space, observation))
        state, output = self.network.memory(reset(self.network.memory, state, first), features)
        return state, distribution(self.env.action_space, self.network.head(output)).sample(key), ()


def imitation(place: tuple[int, int], budget: Budget, watched: Watched) -> list[Case]:
    """A network that learns to predict the actions of a strategy, and then acts on its predictions."""
    setting, updates = bandit(place), budget.updates
    env = build(setting.trials, AbstractEnv)
    words = {"task": f"Imitation({express(setting.env)}, {TEACHER}, {setting.episodes}, none=False)", "estimator": "BPTT()"}
    words |= {"cell": budget.gru, "optimizer": clipped_adam(1e-3, falls=updates)}
    sizes = {"batch_size": budget.trials, "window": setting.steps, "seeds": budget.seeds}
    score = eqx.filter_jit(lambda policy, key: evaluate(env, policy, key, math.prod(watched)).returns.mean())

    def returns(run: LoadedRun) -> list[Row]:
        found = {seed: score(ImitationPolicy(one, env), evaluation_key(seed)) for seed, one in run.networks().items()}
        return rows_of(run, {seed: {RETURN.name: float(value)} for seed, value in found.items()})

    taught = evaluation(configured("supervised", updates, **words, **sizes), returns, times=10)
    return [Case("imitation", taught), contestant(setting, "Gittins", TEACHER, (), watched)._replace(name="Gittins")]
