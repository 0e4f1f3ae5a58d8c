"""RL²: a recurrent policy trained on trials in many worlds."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from farback.papers.engine.item import RETURN, Case, Measured, Metric, Place
from farback.papers.engine.runs import Training, Words, clipped_adam, configured, evaluation, log, metrics
from farback.papers.rl2.worlds import Setting, Strategies, Watched, bandit, contestant

NORMALISED = Metric("charts/normalised", "normalised return")
GATED, ASSOCIATIVE = "RL²", "RL², DeltaNet"
"""The memories: the paper's, and one that is looked up by state and action."""


class Budget(NamedTuple):
    """The units of the memory, or of its readout; the trials of a rollout, the updates, and the seeds."""

    units: int
    trials: int
    updates: int
    seeds: int

    @property
    def gru(self) -> str:
        """A GRU of these units."""
        return f"GRU({self.units}, input_init=Xavier(), state_init=Orthogonal())"


World = Callable[[Any], Setting]
Budgets = Mapping[Any, Mapping[str, Budget]]
Way = Callable[[str, Setting, Budget], Words]
"""A setting from its key; budgets by setting and memory; the arguments of `configure` from memory, setting and budget."""


def trpo(name: str, setting: Setting, budget: Budget) -> Words:
    """TRPO as in the paper: memories with ReLU and normalised weights."""
    if name == ASSOCIATIVE:
        return ppo(name, setting, budget)
    words = Words(algorithm="trpo", max_kl=0.01, gamma=0.99, gae_lambda=0.3, damping=1e-5)
    return words | {"cell": f"WeightNorm(ReLU{budget.gru})", "optimizer": "adam(1e-3)"}


def ppo(name: str, setting: Setting, budget: Budget) -> Words:
    """PPO, which is cheaper, with a discount that grows, so that immediate rewards are learnt first.

    Before the memory has learnt anything, later rewards are noise. The entropy bonus falls; it is lower where many arms
    make entropy high. With a DeltaNet, the policy becomes deterministic too soon, so the entropy bonus stays.
    """
    (begin, end, part), minibatches, updates = setting.discount, min(16, budget.trials), budget.updates
    entropy: Any = f"LinearSchedule({setting.entropy}, 0.005, {updates})"
    cell = f"Chain({budget.gru}, MLP({2 * budget.units}, layers=1))" if setting.layer else budget.gru
    if name == ASSOCIATIVE:
        entropy = setting.entropy
        cell = f"Chain(FrameStack(), SkipConcat(DeltaNet(), stop_gradient=False), MLP({budget.units}))"
    words = Words(algorithm="ppo", minibatches=minibatches, shared_memory=True, cell=cell)
    words |= {"gamma": f"LinearSchedule({begin}, {end}, {round(part * updates)})", "gae_lambda": setting.gae_lambda}
    return words | {"entropy_coef": entropy, "optimizer": clipped_adam(4e-3, 0.5, 4 * minibatches * updates)}


def learner(way: Way, setting: Setting, budget: Budget, name: str = GATED, **changes: Any) -> Training:
    """RL² in windows of one trial, unless `changes` gives another window."""
    words = Words(env=setting.trials, estimator="BPTT()", num_envs=budget.trials, window=setting.steps + 1)
    words |= way(name, setting, budget)
    return configured(updates=budget.updates, seeds=budget.seeds, **words | changes)


def contest(world: World, strategies: Strategies, way: Way, budgets: Budgets, watched: Watched) -> list[Case]:
    """The strategies and RL²."""

    def case(setting: Setting, name: str, budget: Budget) -> Case:
        measure = evaluation(learner(way, setting, budget, name), metrics(math.prod(watched)))
        units = "units of a readout" if name == ASSOCIATIVE else "units"
        steps = budget.updates * budget.trials * (setting.steps + 1)
        note = f"{budget.units} {units}, {steps:,} steps each, seeds: {budget.seeds}"
        return Case(f"{setting.name}: {name}", lambda at: measure(at)._replace(note=note), setting.claims.get("RL²"))

    cases = []
    for setting, of_memory in ((world(place), of_memory) for place, of_memory in budgets.items()):
        cases += [contestant(setting, name, *each, watched) for name, each in strategies.items()]
        cases += [case(setting, *each) for each in of_memory.items()]
    return cases


def curves(world: World, best: str, way: Way, budgets: Budgets) -> list[Case]:
    """The learning curves of the same runs: 0 is the random policy, and 1 the best strategy in the paper's table."""

    def case(setting: Setting, name: str, budget: Budget) -> Case:
        low, high = setting.episodes * setting.env.random, setting.claims[best]

        def measure(place: Place) -> Measured:
            measured = log(learner(way, setting, budget, name))(place)
            known = ((row, row.get(RETURN.name)) for row in measured.rows)
            between = ((row, None if value is None else (value - low) / (high - low)) for row, value in known)
            return measured._replace(rows=[row | {NORMALISED.name: value} for row, value in between])

        return Case(f"{setting.name}: {name}", measure)

    return [case(world(place), *each) for place, of_memory in budgets.items() for each in of_memory.items()]


# fmt: off
READERS = {
    "GRU, whole trials": ("GRU(64)", "BPTT()", None), "MinGRU, whole trials": ("MinGRU(64)", "BPTT()", None),
    "GRU, windows of 50": ("GRU(64)", "BPTT()", 50), "MinGRU, windows of 50": ("MinGRU(64)", "BPTT()", 50),
    "MinGRU, windows of 50, RTRL": ("MinGRU(64)", "RTRL()", 50), "GRU, windows of 50, UORO": ("GRU(64)", "UORO()", 50),
}
# fmt: on
"""Cells, estimators, and the steps of a rollout; `None` for a whole trial."""


def windows(pulls: int, budget: Budget, watched: Watched) -> list[Case]:
    """All are trained by PPO, with the same number of steps and of parallel trials."""
    setting, trial = bandit((pulls, 5)), pulls + 1

    def case(name: str, cell: str, estimator: str, most: int | None) -> Case:
        window = trial if most is None else min(most, trial // 2)
        afforded = budget._replace(updates=budget.updates * trial // window)
        training = learner(ppo, setting, afforded, cell=cell, estimator=estimator, window=window)
        return Case(name, evaluation(training, metrics(math.prod(watched))))

    gittins = contestant(setting, "Gittins", "Gittins(0.998)", (), watched)._replace(name="Gittins")
    return [*(case(name, *reader) for name, reader in READERS.items()), gittins]
