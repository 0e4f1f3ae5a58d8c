"""RL²: what a recurrent policy learns of trials in many worlds."""

from typing import NamedTuple

from engram.envs import Bandit
from engram.papers.designed import WATCHED, Setting
from engram.papers.item import Case, Measured, Place, Scale, configured, played
from engram.papers.optimisers import adam, falling
from engram.runs.config import Config
from engram.runs.spec import express
from engram.strategies.base import prior

NORMALISED = "charts/normalised"


class Budget(NamedTuple):
    """What RL² is trained with: units of the memory, or of what reads a table; trials in a rollout, updates, and seeds."""

    units: int
    trials: int
    updates: int
    seeds: int


GATED, ASSOCIATIVE = "RL²", "RL², DeltaNet"
"""By what memory: the paper's, and one that looks up what was learnt of a state and an action."""


class Route(NamedTuple):
    """How it learns: an agent, a cell, an optimiser, and whether policy and value share a memory."""

    agent: str
    cell: str
    optimiser: str
    shared: bool


def gated(budget: Budget) -> str:
    return f"GRU({budget.units}, input_init=Xavier(), state_init=Orthogonal())"


def by_trpo(budget: Budget) -> Route:
    """The paper's: memories with ReLU and normalised weights."""
    agent = "TRPO(radius=0.01, gamma=0.99, lam=0.3, damping=1e-5)"
    return Route(agent, f"WeightNorm(ReLU{gated(budget)})", "adam(1e-3)", False)


def by_ppo(name: str, setting: Setting, budget: Budget) -> Route:
    """The economical one, in which it is learnt first what is good at once, and then what is good in the end.

    What comes later is chance, for who does not yet remember: the discount begins low, and grows. To explore is worth less
    as it learns; and where there are many arms, there is more entropy to be had, and it is bought for less. Where there are
    states to look up in what is remembered, a layer reads it. Who looks them up in a table is sure of itself too soon, and
    goes on being paid for what it leaves to chance.
    """
    updates, epochs, minibatches = budget.updates, 4, min(16, budget.trials)
    if isinstance(setting.env, Bandit):
        end, share = PATIENCE[setting.episodes]
        begin, lam, cost = 0.7, 0.95, min(0.05, 0.5 / setting.env.arms)
    else:
        begin, end, share, lam, cost = 0.5, 0.8, 1.0, 0.8, 0.05
    paid = cost if name == ASSOCIATIVE else f"Ramp({cost}, 0.005, {updates})"
    agent = (
        f"PPO(epochs={epochs}, minibatches={minibatches}, gamma=Ramp({begin}, {end}, {round(share * updates)}), lam={lam}, "
        f"entropy_cost={paid})"
    )
    if name == ASSOCIATIVE:
        cell = f"Chain(Recent(), Alongside(DeltaNet(), learns=True), Perceptron({budget.units}))"
    elif isinstance(setting.env, Bandit):
        cell = gated(budget)
    else:
        cell = f"Chain({gated(budget)}, Perceptron({2 * budget.units}, layers=1))"
    step = falling("4e-3", epochs * minibatches * updates)
    return Route(agent, cell, adam(step, 0.5), True)


PATIENCE = {10: (0.95, 1.0), 100: (0.97, 0.5), 500: (0.97, 0.5)}
"""The discount at the end, and in what part of the updates it comes there, by the pulls of a trial."""


def learner(setting: Setting, budget: Budget, scale: Scale, name: str = GATED) -> Config:
    """RL² in trials of a setting, each of which is a window of its own."""
    length = setting.episodes * prior(setting.env).horizon + 1
    route = by_trpo(budget) if (scale, name) == ("paper", GATED) else by_ppo(name, setting, budget)
    return Config(
        task=None,
        env=f"Previous(Trials({express(setting.env)}, {setting.episodes}), none=False)",
        estimator="BPTT()",
        batch=budget.trials,
        length=length,
        steps=budget.updates * budget.trials * length,
        seed=0,
        seeds=budget.seeds,
        log_every=max(1, budget.updates // 200),
        **route._asdict(),
    )


def rl2(setting: Setting, budget: Budget, scale: Scale, name: str = GATED) -> Case:
    """RL² in the contest of a setting."""
    config = learner(setting, budget, scale, name)
    case = played(f"{setting.name}: {name}", config, WATCHED[scale].worlds, setting.claims.get("RL²"))
    units = "units of a readout" if name == ASSOCIATIVE else "units"
    spent = f"{budget.units} {units}, {config.steps:,} steps each, seeds: {budget.seeds}"
    return case._replace(measure=lambda place: case.measure(place)._replace(note=spent))


def curve(setting: Setting, best: str, budget: Budget, scale: Scale, name: str = GATED) -> Case:
    """The same run as it learns: 0 is chance, and 1 what the best strategy of the paper's table has there."""
    config = learner(setting, budget, scale, name)
    low, high = setting.episodes * setting.env.random, setting.claims[best]
    case = configured(f"{setting.name}: {name}", config)

    def measure(place: Place) -> Measured:
        measured = case.measure(place)
        rows = [row | {NORMALISED: _between(row.get("charts/episodic_return"), low, high)} for row in measured.rows]
        return Measured(rows, measured.ended)

    return case._replace(measure=measure)


def _between(value: float | None, low: float, high: float) -> float | None:
    return None if value is None else (value - low) / (high - low)
