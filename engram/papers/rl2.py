"""RL²: Fast reinforcement learning via slow reinforcement learning; Duan et al., 2016."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from engram.agents.acting import episodes
from engram.cells import Chain, Parallel
from engram.envs import AbstractEnv, Bandit, TabularMDP
from engram.papers.item import Case, Item, Measured, Place, Scale, Unit, configured, examined, kept
from engram.runs.config import Config
from engram.runs.log import Row
from engram.runs.saved import Saved, evaluation_key
from engram.runs.spec import express
from engram.runs.trial import StreamTrial
from engram.strategies import (
    BEB,
    KLUCB,
    OPSRL,
    UCB1,
    UCRL2,
    AbstractStrategy,
    Believing,
    EpsilonGreedy,
    Gittins,
    Greedy,
    Imitation,
    InformationDirected,
    LikeliestDraw,
    OptimisticThompson,
    Oracle,
    Random,
    Thompson,
    score,
)
from engram.strategies.base import prior

TITLE = "RL²: learning to learn"
RETURN = "charts/return"
UNIT = Unit("reward of a trial")
NORMALISED = "charts/normalised"
TRIED = 1_000
"""Trials in which each of several hyper-parameters is tried."""


class Watched(NamedTuple):
    """How long strategies are watched: groups of trials, of which each counts as a seed."""

    groups: int
    trials: int


WATCHED: dict[Scale, Watched] = {"smoke": Watched(3, 20), "laptop": Watched(10, 1_000), "paper": Watched(10, 10_000)}


class Setting(NamedTuple):
    """Trials of so many episodes in an environment, and the paper's numbers by the names of its columns."""

    name: str
    env: AbstractEnv
    episodes: int
    claims: dict[str, float]


def contestant(setting: Setting, name: str, candidates: Sequence[AbstractStrategy], scale: Scale) -> Case:
    """The best of several strategies, chosen in other trials than those that it is scored in."""
    groups, trials = WATCHED[scale]

    def play() -> dict[str, Any]:
        env, episodes = setting.env, setting.episodes
        tried = min(TRIED, groups * trials)
        chosen = candidates[0]
        if len(candidates) > 1:
            means = [float(score(env, each, episodes, tried, key=jax.random.key(1)).sum(1).mean()) for each in candidates]
            chosen = candidates[int(np.argmax(means))]
        returns = score(env, chosen, episodes, groups * trials, key=jax.random.key(0)).sum(1)
        means = np.asarray(returns).reshape(groups, trials).mean(1)
        rows = [{"update": 0, "step": 0, "seed": group, RETURN: float(mean)} for group, mean in enumerate(means)]
        return {"rows": rows, "note": express(chosen) if len(candidates) > 1 else ""}

    def measure(place: Place) -> Measured:
        found = kept(place.home / "scores.json", play)
        return Measured(found["rows"], note=found["note"])

    return Case(f"{setting.name}: {name}", measure, setting.claims.get(name))


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
    """What RL² has learnt at the end, in trials that it has not seen."""
    config = learner(setting, budget, scale)
    trials = WATCHED[scale].trials

    def examine(saved: Saved) -> list[Row]:
        return returned(saved, {seed: float(np.mean(played.returns)) for seed, played in saved.episodes(trials).items()})

    return examined(
        f"{setting.name}: RL²",
        config.program,
        config.updates,
        config.record,
        examine,
        claimed=setting.claims.get("RL²"),
    )


def returned(saved: Saved, found: dict[int, float]) -> list[Row]:
    """What each seed's model got, as rows of the log."""
    update, steps = saved.facts["update"], saved.program.trial.steps
    return [{"update": update, "step": update * steps, "seed": seed, RETURN: mean} for seed, mean in found.items()]


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


BANDIT_COLUMNS: tuple[str, ...] = (
    "Random",
    "Gittins",
    "Thompson",
    "likeliest draw",
    "UCB1",
    "epsilon-greedy",
    "greedy",
    "RL²",
)
BANDITS = {
    (10, 5): (5.0, 6.6, 5.7, 6.5, 6.7, 6.6, 6.6, 6.7),
    (10, 10): (5.0, 6.6, 5.5, 6.2, 6.7, 6.6, 6.6, 6.7),
    (10, 50): (5.1, 6.5, 5.2, 5.5, 6.6, 6.5, 6.5, 6.8),
    (100, 5): (49.9, 78.3, 74.7, 77.9, 78.0, 75.4, 74.8, 78.7),
    (100, 10): (49.9, 82.8, 76.7, 81.4, 82.4, 77.4, 77.1, 83.5),
    (100, 50): (49.8, 85.2, 64.5, 67.7, 84.3, 78.3, 78.0, 84.9),
    (500, 5): (249.8, 405.8, 402.0, 406.7, 405.8, 388.2, 380.6, 401.6),
    (500, 10): (249.0, 437.8, 429.5, 438.9, 437.1, 408.0, 395.0, 432.5),
    (500, 50): (249.6, 463.7, 427.2, 437.6, 457.6, 413.6, 402.8, 438.9),
}
"""Table 1: pulls and arms, and what each column had."""

MDP_COLUMNS: tuple[str, ...] = (
    *("Random", "PSRL, mean 0", "OPSRL, mean 0", "UCRL2 as published, no prior", "BEB, mean 0"),
    *("epsilon-greedy, no prior", "greedy, no prior", "RL²"),
)
MDPS = {
    10: (100.1, 138.1, 144.1, 146.6, 150.2, 132.8, 134.8, 156.2),
    25: (250.2, 408.8, 425.2, 424.1, 427.8, 377.3, 368.8, 445.7),
    50: (499.7, 904.4, 930.7, 918.9, 917.8, 823.3, 769.3, 936.1),
    75: (749.9, 1417.1, 1449.2, 1427.6, 1422.6, 1293.9, 1172.9, 1428.8),
    100: (999.4, 1939.5, 1973.9, 1942.1, 1935.1, 1778.2, 1578.5, 1913.7),
}
"""Table 2: episodes, and what each column had; what its priors were is not told, but their numbers are those of these."""


def bandit(pulls: int, arms: int) -> Setting:
    claims = dict(zip(BANDIT_COLUMNS, BANDITS[pulls, arms], strict=True))
    return Setting(f"{pulls}, {arms}", Bandit(arms), pulls, claims)


def mdp(episodes: int) -> Setting:
    return Setting(str(episodes), TabularMDP(), episodes, dict(zip(MDP_COLUMNS, MDPS[episodes], strict=True)))


STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
DISCOUNTS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)
OF_BANDITS: dict[str, list[AbstractStrategy]] = {
    "Random": [Random()],
    "Gittins": [Gittins(gamma) for gamma in DISCOUNTS],
    "Thompson": [Thompson()],
    "likeliest draw": [LikeliestDraw()],
    "UCB1": [UCB1(c) for c in STEPS],
    "epsilon-greedy": [EpsilonGreedy(epsilon) for epsilon in (0.0, *STEPS[:5])],
    "greedy": [Greedy()],
    "optimistic Thompson": [OptimisticThompson()],
    "KL-UCB": [KLUCB(c) for c in (0.0, *STEPS)],
    "information-directed": [InformationDirected()],
    "who knows the arms": [Oracle()],
}

UNKNOWN = TabularMDP(mean=0.0)
UNHEARD = TabularMDP(concentration=1e-4, mean=0.0, spread=100.0)
SCALES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
OF_MDPS: dict[str, list[AbstractStrategy]] = {
    "Random": [Random()],
    "PSRL, mean 0": [Believing(Thompson(), UNKNOWN)],
    "OPSRL, mean 0": [Believing(OPSRL(samples), UNKNOWN) for samples in (3, 10, 30)],
    "UCRL2, no prior": [Believing(UCRL2(scale), UNHEARD) for scale in (0.1, 0.2, 0.3, 0.5)],
    "UCRL2 as published, no prior": [Believing(UCRL2(scale, faithful=True), UNHEARD) for scale in (0.1, 0.2, 0.3, 0.5)],
    "BEB, mean 0": [Believing(BEB(scale), UNKNOWN) for scale in SCALES],
    "epsilon-greedy, no prior": [Believing(EpsilonGreedy(epsilon), UNHEARD) for epsilon in (0.05, 0.1, 0.2, 0.3)],
    "greedy, no prior": [Believing(Greedy(), UNHEARD)],
    "PSRL": [Thompson()],
    "OPSRL": [OPSRL(samples) for samples in (3, 10, 30)],
    "UCRL2": [UCRL2(scale) for scale in (0.01, 0.03, 0.1, 0.3)],
    "BEB": [BEB(scale) for scale in (0.0, *SCALES)],
    "epsilon-greedy": [EpsilonGreedy(epsilon) for epsilon in (0.0, 0.02, 0.05, 0.1)],
    "greedy": [Greedy()],
    "who knows the process": [Oracle()],
}

BANDIT_BUDGETS: dict[Scale, dict[tuple[int, int], Budget]] = {
    "smoke": {(10, 5): Budget(8, 16, 4, 2)},
    "laptop": {
        (10, 5): Budget(64, 512, 1_000, 3),
        (10, 10): Budget(64, 512, 1_500, 3),
        (10, 50): Budget(64, 512, 2_000, 3),
        (100, 5): Budget(128, 128, 2_000, 3),
        (100, 10): Budget(128, 128, 2_500, 3),
        (100, 50): Budget(128, 128, 3_000, 1),
        (500, 5): Budget(128, 32, 1_500, 1),
        (500, 10): Budget(128, 32, 1_500, 1),
        (500, 50): Budget(128, 32, 1_500, 1),
    },
    "paper": {(pulls, arms): Budget(256, 250_000 // (pulls + 1), 1_000, 1) for pulls, arms in BANDITS},
}
MDP_BUDGETS: dict[Scale, dict[int, Budget]] = {
    "smoke": {10: Budget(8, 4, 4, 2)},
    "laptop": {
        10: Budget(128, 128, 4_000, 3),
        25: Budget(128, 64, 4_000, 2),
        50: Budget(128, 32, 2_000, 1),
        75: Budget(128, 32, 1_500, 1),
        100: Budget(128, 32, 1_000, 1),
    },
    "paper": {episodes: Budget(256, 250_000 // (10 * episodes + 1), 10_000, 1) for episodes in MDPS},
}


def contest(setting: Setting, strategies: dict[str, list[AbstractStrategy]], budget: Budget, scale: Scale) -> list[Case]:
    """What people designed, and then what was learnt."""
    tried = strategies if scale != "smoke" else {name: strategies[name] for name in list(strategies)[3:5]}
    return [*(contestant(setting, name, grid, scale) for name, grid in tried.items()), rl2(setting, budget, scale)]


def bandits(scale: Scale) -> list[Case]:
    budgets = BANDIT_BUDGETS[scale].items()
    return [case for place, budget in budgets for case in contest(bandit(*place), OF_BANDITS, budget, scale)]


def mdps(scale: Scale) -> list[Case]:
    budgets = MDP_BUDGETS[scale].items()
    return [case for episodes, budget in budgets for case in contest(mdp(episodes), OF_MDPS, budget, scale)]


def curves(scale: Scale) -> list[Case]:
    return [curve(bandit(*place), "Gittins", budget, scale) for place, budget in BANDIT_BUDGETS[scale].items()]


def curves_of_mdps(scale: Scale) -> list[Case]:
    return [curve(mdp(episodes), "OPSRL, mean 0", budget, scale) for episodes, budget in MDP_BUDGETS[scale].items()]


def imitation(scale: Scale) -> list[Case]:
    """A memory that learns to tell what a strategy does next, and then plays by it."""
    pulls, arms, budget = {
        "smoke": (10, 5, Budget(8, 16, 4, 2)),
        "laptop": (100, 10, Budget(128, 64, 3_000, 3)),
        "paper": (100, 10, Budget(256, 256, 20_000, 5)),
    }[scale]
    setting = bandit(pulls, arms)
    teacher = Gittins(0.98)
    task = f"Imitation({express(setting.env)}, {express(teacher)}, {pulls}, none=False)"
    config = Config(
        task=task,
        cell=f"GRU({budget.units}, input_init=Xavier(), state_init=Orthogonal())",
        estimator="BPTT()",
        optimiser="chain(clip_by_global_norm(1.0), adam(1e-3))",
        batch=budget.trials,
        length=pulls,
        steps=budget.updates * budget.trials * pulls,
        seed=0,
        seeds=budget.seeds,
        log_every=max(1, budget.updates // 200),
    )
    trials = WATCHED[scale].trials

    def examine(saved: Saved) -> list[Row]:
        trial = saved.program.trial
        assert isinstance(trial, StreamTrial)
        assert isinstance(trial.learner.task, Imitation)
        env = trial.learner.task.shown
        play = eqx.filter_jit(lambda model, key: episodes(env, Chain(model, PLAYED), key, trials).returns.mean())
        return returned(saved, {seed: float(play(model, evaluation_key(seed))) for seed, model in saved.models().items()})

    taught = examined("imitated", config.program, config.updates, config.record, examine, times=10)
    return [
        taught,
        contestant(setting, "Gittins", [teacher], scale)._replace(name="Gittins", claimed=setting.claims["Gittins"]),
    ]


PLAYED = Parallel(lambda logits: logits, lambda logits: jnp.zeros(1))
"""What an agent puts out, of what a task asked for: the chances of actions, and no value."""


ITEMS = [
    Item(
        "rl2/bandits",
        "Bandits: pulls, arms (table 1)",
        "Ours, and in brackets the paper's, from 1,000 trials each. Hyper-parameters of strategies were chosen in 1,000 "
        "other trials, as the paper did; all strategies are played in the same worlds. What the paper calls OTS is the "
        "likeliest draw.",
        bandits,
        {"smoke": 2, "laptop": 400, "paper": 15_000},
        RETURN,
        UNIT,
        {},
        across=True,
    ),
    Item(
        "rl2/mdps",
        "Tabular decision processes: episodes (table 2)",
        "The numbers of the paper's strategies are those of a prior that is not the true one: rewards of mean 0, or none "
        "at all. Below, the same strategies with the prior that the worlds are drawn from.",
        mdps,
        {"smoke": 2, "laptop": 500, "paper": 50_000},
        RETURN,
        UNIT,
        {},
        across=True,
    ),
    Item(
        "rl2/curves",
        "Learning to learn bandits (fig. 2)",
        "Return of a trial while it learns, between that of chance, 0, and that of the paper's Gittins, 1.",
        curves,
        {"smoke": 2, "laptop": 400, "paper": 15_000},
        NORMALISED,
        Unit("normalised return"),
        {"Gittins": 1.0},
        runs="rl2/bandits",
    ),
    Item(
        "rl2/curves-mdps",
        "Learning to learn decision processes (fig. 3)",
        "The same, between chance, 0, and the paper's OPSRL, 1.",
        curves_of_mdps,
        {"smoke": 2, "laptop": 500, "paper": 50_000},
        NORMALISED,
        Unit("normalised return"),
        {"OPSRL": 1.0},
        runs="rl2/mdps",
    ),
    Item(
        "rl2/imitation",
        "A network that is taught to play as Gittins does (section 3.1)",
        "What it reaches shows that what is lacking is not in the network, but in how it is trained. 100 pulls of 10 arms.",
        imitation,
        {"smoke": 1, "laptop": 30, "paper": 600},
        RETURN,
        UNIT,
        {},
    ),
]
