"""What an agent does in a bandit, beside what people designed for it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from engram.agents.acting import begin, rollout
from engram.envs import Bandit
from engram.papers.designed import WATCHED, Setting
from engram.papers.item import Case, Measured, Place, Scale, kept
from engram.papers.learnt import Budget, learner, rl2
from engram.reports.choices import ARM
from engram.runs.acting import ActingTrial
from engram.runs.log import Row
from engram.runs.saved import evaluation_key, opened
from engram.strategies import AbstractStrategy, Gittins, Thompson
from engram.strategies.trial import play_in

BEST = ARM.format(0)


def choices(setting: Setting, budget: Budget, scale: Scale) -> list[Case]:
    """RL² and two strategies, each in worlds of its own."""
    strategies = {"Gittins": Gittins(0.98), "Thompson": Thompson()}
    return [_of_agent(setting, budget, scale), *(_of(setting, *each, scale) for each in strategies.items())]


def _of_agent(setting: Setting, budget: Budget, scale: Scale) -> Case:
    env = setting.env
    assert isinstance(env, Bandit)
    trained, config, worlds = rl2(setting, budget, scale), learner(setting, budget, scale), WATCHED[scale].trials

    def measure(place: Place) -> Measured:
        measured = trained.measure(place)

        def play() -> list[Row]:
            saved = opened(place.home, config.program(place.devices), warn=place.warn)
            trial = saved.program.trial
            assert isinstance(trial, ActingTrial)

            @eqx.filter_jit
            def shares(model, key):
                begin_key, key = jax.random.split(key)
                playing = begin(trial.agent.env, worlds, begin_key)
                means = jax.vmap(env.means)(playing.plays.state.state.state)
                memory = trial.agent.step.initial(model, worlds)
                steps = rollout(trial.agent.env, model, memory, playing, key, setting.episodes)[2]
                return chosen(means, steps.action)

            return [
                row for seed, model in saved.models().items() for row in _rows(seed, shares(model, evaluation_key(seed)))
            ]

        return measured if measured.ended else Measured(kept(place.home / "choices.json", play))

    return trained._replace(measure=measure, claimed=None)


def _of(setting: Setting, name: str, strategy: AbstractStrategy, scale: Scale) -> Case:
    env, episodes, worlds = setting.env, setting.episodes, WATCHED[scale].trials
    assert isinstance(env, Bandit)

    def measure(place: Place) -> Measured:
        def play() -> list[Row]:
            ready = strategy.ready(env, episodes)

            def one(key):
                world, *keys = jax.random.split(key, 3)
                state = env.reset(world)
                return env.means(state), play_in(env, ready, episodes, state, *keys).action[:, 0]

            shares = eqx.filter_jit(lambda key: chosen(*jax.vmap(one)(jax.random.split(key, worlds))))
            return _rows(0, shares(jax.random.key(0)))

        return Measured(kept(place.home / "choices.json", play))

    return Case(f"{setting.name}: {name}", measure)


def chosen(means: Float[Array, "worlds arms"], action: Int[Array, "worlds pulls"]) -> Float[Array, "arms pulls"]:
    """How often each arm is pulled at each time, the best one first."""
    place = jnp.argsort(jnp.argsort(-means, axis=1), axis=1)
    pulled = jnp.take_along_axis(place, action, axis=1)
    return jnp.mean((pulled == jnp.arange(means.shape[1])[:, None, None]).astype(float), axis=1)


def _rows(seed: int, shares: Float[Array, "arms pulls"]) -> list[Row]:
    return [
        {"update": pull, "step": pull, "seed": seed} | {ARM.format(arm): float(share) for arm, share in enumerate(column)}
        for pull, column in enumerate(shares.T.tolist(), 1)
    ]
