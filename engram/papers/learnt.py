"""RL²: what a recurrent policy learns of trials in many worlds."""

from typing import NamedTuple

from engram.papers.designed import WATCHED, Setting
from engram.papers.item import Case, Measured, Place, Scale, configured, played
from engram.runs.config import Config
from engram.runs.spec import express
from engram.strategies.base import prior

NORMALISED = "charts/normalised"


class Budget(NamedTuple):
    """What RL² is trained with: units, trials in a rollout, updates, and seeds."""

    units: int
    trials: int
    updates: int
    seeds: int


PPO_ROUTE = "PPO(gamma=0.99, lam=0.3, epochs=4, minibatches=4, entropy_cost=0.01)"
TRPO_ROUTE = "TRPO(radius=0.01, gamma=0.99, lam=0.3, damping=1e-5)"


def learner(setting: Setting, budget: Budget, scale: Scale) -> Config:
    """RL² in trials of a setting, each of which is a window of its own.

    By the economical route policy and baseline share a memory and learn by PPO; at the scale of the paper each has its own,
    of 256 units with ReLU and normalised weights, and they learn by TRPO.
    """
    length = setting.episodes * prior(setting.env).horizon + 1
    cell = f"GRU({budget.units}, input_init=Xavier(), state_init=Orthogonal())"
    return Config(
        task=None,
        env=f"Previous(Trials({express(setting.env)}, {setting.episodes}), none=False)",
        agent=TRPO_ROUTE if scale == "paper" else PPO_ROUTE,
        cell=f"WeightNorm(ReLU{cell})" if scale == "paper" else cell,
        estimator="BPTT()",
        optimiser="adam(1e-3)" if scale == "paper" else "chain(clip_by_global_norm(0.5), adam(1e-3))",
        batch=budget.trials,
        length=length,
        steps=budget.updates * budget.trials * length,
        seed=0,
        seeds=budget.seeds,
        log_every=max(1, budget.updates // 200),
        shared=scale != "paper",
    )


def rl2(setting: Setting, budget: Budget, scale: Scale) -> Case:
    """RL² in the contest of a setting."""
    return played(f"{setting.name}: RL²", learner(setting, budget, scale), WATCHED[scale].trials, setting.claims.get("RL²"))


def curve(setting: Setting, best: str, budget: Budget, scale: Scale) -> Case:
    """The same run as it learns: 0 is chance, and 1 what the best strategy of the paper's table has there."""
    config = learner(setting, budget, scale)
    low, high = setting.episodes * setting.env.random, setting.claims[best]
    case = configured(f"{setting.name}: RL²", config)

    def measure(place: Place) -> Measured:
        measured = case.measure(place)
        rows = [row | {NORMALISED: _between(row.get("charts/episodic_return"), low, high)} for row in measured.rows]
        return Measured(rows, measured.ended)

    return case._replace(measure=measure)


def _between(value: float | None, low: float, high: float) -> float | None:
    return None if value is None else (value - low) / (high - low)
