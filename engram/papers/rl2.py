"""RL²: Fast reinforcement learning via slow reinforcement learning; Duan et al., 2016."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp

from engram.agents.acting import episodes
from engram.cells import Chain, Parallel
from engram.papers.choices import BEST, choices
from engram.papers.designed import (
    BANDITS,
    MDPS,
    OF_BANDITS,
    OF_MDPS,
    WATCHED,
    Setting,
    bandit,
    contestant,
    mdp,
)
from engram.papers.item import RETURN, Case, Item, Scale, Unit, examined, played, returned
from engram.papers.learnt import ASSOCIATIVE, GATED, NORMALISED, Budget, curve, learner, rl2
from engram.papers.optimisers import adam, falling
from engram.reports.choices import draw_choices
from engram.reports.dots import draw_dots
from engram.runs.config import Config
from engram.runs.log import Row
from engram.runs.saved import Saved, evaluation_key
from engram.runs.spec import express
from engram.runs.trial import StreamTrial
from engram.strategies import AbstractStrategy, Gittins, Imitation

TITLE = "RL²: learning to learn"
UNIT = Unit("reward of a trial")

BANDIT_BUDGETS: dict[Scale, dict[tuple[int, int], Budget]] = {
    "smoke": {(10, 5): Budget(8, 16, 4, 2)},
    "laptop": {
        (10, 5): Budget(64, 2048, 300, 3),
        (10, 10): Budget(64, 2048, 400, 3),
        (10, 50): Budget(64, 2048, 800, 3),
        (100, 5): Budget(64, 1024, 640, 2),
        (100, 10): Budget(64, 1024, 800, 2),
        (100, 50): Budget(64, 1024, 800, 1),
        (500, 5): Budget(64, 256, 600, 1),
        (500, 10): Budget(64, 256, 600, 1),
        (500, 50): Budget(64, 256, 600, 1),
    },
    "paper": {(pulls, arms): Budget(256, 250_000 // (pulls + 1), 1_000, 1) for pulls, arms in BANDITS},
}
MDP_BUDGETS: dict[Scale, dict[int, dict[str, Budget]]] = {
    "smoke": {10: {GATED: Budget(8, 4, 4, 2), ASSOCIATIVE: Budget(8, 4, 4, 2)}},
    "laptop": {
        10: {GATED: Budget(64, 1024, 1_000, 2), ASSOCIATIVE: Budget(128, 1024, 80, 3)},
        25: {GATED: Budget(64, 512, 800, 1), ASSOCIATIVE: Budget(128, 512, 80, 3)},
        50: {GATED: Budget(64, 128, 400, 1), ASSOCIATIVE: Budget(128, 256, 80, 2)},
        75: {GATED: Budget(64, 128, 400, 1), ASSOCIATIVE: Budget(128, 160, 80, 2)},
        100: {GATED: Budget(64, 128, 400, 1), ASSOCIATIVE: Budget(128, 128, 80, 2)},
    },
    "paper": {
        episodes: {
            GATED: Budget(256, 250_000 // (10 * episodes + 1), 10_000, 1),
            ASSOCIATIVE: Budget(256, 250_000 // (10 * episodes + 1) // 16 * 16, 1_000, 5),
        }
        for episodes in MDPS
    },
}


CHOSEN: dict[Scale, tuple[int, int]] = {"smoke": (10, 5), "laptop": (100, 10), "paper": (100, 10)}
"""Where it is looked at which arm is pulled."""


def contestants(setting: Setting, strategies: dict[str, list[AbstractStrategy]], scale: Scale) -> list[Case]:
    tried = strategies if scale != "smoke" else {name: strategies[name] for name in list(strategies)[3:5]}
    return [contestant(setting, name, grid, scale) for name, grid in tried.items()]


def bandits(scale: Scale) -> list[Case]:
    cases = []
    for place, budget in BANDIT_BUDGETS[scale].items():
        cases += [*contestants(bandit(*place), OF_BANDITS, scale), rl2(bandit(*place), budget, scale)]
    return cases


def mdps(scale: Scale) -> list[Case]:
    cases = []
    for count, budgets in MDP_BUDGETS[scale].items():
        cases += contestants(mdp(count), OF_MDPS, scale)
        cases += [rl2(mdp(count), budget, scale, name) for name, budget in budgets.items()]
    return cases


def curves(scale: Scale) -> list[Case]:
    return [curve(bandit(*place), "Gittins", budget, scale) for place, budget in BANDIT_BUDGETS[scale].items()]


def curves_of_mdps(scale: Scale) -> list[Case]:
    settings = [(mdp(count), budgets) for count, budgets in MDP_BUDGETS[scale].items()]
    return [
        curve(each, "OPSRL, mean 0", budget, scale, name) for each, budgets in settings for name, budget in budgets.items()
    ]


WINDOW = 50
"""Steps of a rollout that is shorter than a trial."""
READERS = {
    "GRU, whole trials": ("GRU(64)", "BPTT()", None),
    "MinGRU, whole trials": ("MinGRU(64)", "BPTT()", None),
    "GRU, windows of 50": ("GRU(64)", "BPTT()", WINDOW),
    "MinGRU, windows of 50": ("MinGRU(64)", "BPTT()", WINDOW),
    "MinGRU, windows of 50, RTRL": ("MinGRU(64)", "RTRL()", WINDOW),
    "GRU, windows of 50, UORO": ("GRU(64)", "UORO()", WINDOW),
}
"""Cells, ways of sending credit, and the steps of a rollout, where that is no whole trial."""


def windows(scale: Scale) -> list[Case]:
    """All with as many steps of as many trials abreast, and by PPO."""
    pulls, budget = {
        "smoke": (10, Budget(8, 16, 8, 2)),
        "laptop": (500, Budget(64, 128, 150, 2)),
        "paper": (500, Budget(64, 256, 1_000, 5)),
    }[scale]
    trial, cases = pulls + 1, []
    for name, (cell, estimator, length) in READERS.items():
        length = trial if length is None else min(length, trial // 2)
        updates = budget.updates * trial // length
        config = learner(bandit(pulls, 5), budget._replace(updates=updates), "laptop")
        steps = updates * budget.trials * length
        config = dataclasses.replace(config, cell=cell, estimator=estimator, length=length, steps=steps)
        cases.append(played(name, config, WATCHED[scale].worlds))
    tried = cases if scale != "smoke" else [cases[0], cases[-1]]
    return [*tried, contestant(bandit(pulls, 5), "Gittins", [Gittins(0.998)], scale)._replace(name="Gittins")]


def imitation(scale: Scale) -> list[Case]:
    """A memory that learns to tell what a strategy does next, and then plays by it."""
    pulls, arms, budget = {
        "smoke": (10, 5, Budget(8, 16, 4, 2)),
        "laptop": (100, 10, Budget(128, 64, 10_000, 3)),
        "paper": (100, 10, Budget(256, 256, 20_000, 5)),
    }[scale]
    setting = bandit(pulls, arms)
    teacher = Gittins(0.98)
    task = f"Imitation({express(setting.env)}, {express(teacher)}, {pulls}, none=False)"
    config = Config(
        task=task,
        cell=f"GRU({budget.units}, input_init=Xavier(), state_init=Orthogonal())",
        estimator="BPTT()",
        optimiser=adam(falling("1e-3", budget.updates)),
        batch=budget.trials,
        length=pulls,
        steps=budget.updates * budget.trials * pulls,
        seed=0,
        seeds=budget.seeds,
        log_every=max(1, budget.updates // 200),
    )
    trials = WATCHED[scale].worlds

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
        "Ours, and in brackets the paper's, which are of 1,000 trials. Hyper-parameters of strategies were chosen in 1,000 "
        "other trials, as the paper did; all strategies are played in the same worlds. What the paper calls OTS is the "
        "likeliest draw.",
        bandits,
        {"smoke": 2, "laptop": 100, "paper": 15_000},
        RETURN,
        UNIT,
        {},
        across=draw_dots,
    ),
    Item(
        "rl2/mdps",
        "Tabular decision processes: episodes (table 2)",
        "The numbers of the paper's strategies are those of a prior that is not the true one: rewards of mean 0, or none "
        "at all. Below, the same strategies with the prior that the worlds are drawn from; and at the end RL² with a "
        "memory that the paper had not, beside what its GRU had.",
        mdps,
        {"smoke": 2, "laptop": 100, "paper": 50_000},
        RETURN,
        UNIT,
        {},
        across=draw_dots,
    ),
    Item(
        "rl2/curves",
        "Learning to learn bandits (fig. 2)",
        "Return of a trial while it learns, between that of chance, 0, and that of the paper's Gittins, 1.",
        curves,
        {"smoke": 2, "laptop": 100, "paper": 15_000},
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
        {"smoke": 2, "laptop": 100, "paper": 50_000},
        NORMALISED,
        Unit("normalised return"),
        {"OPSRL": 1.0},
        runs="rl2/mdps",
    ),
    Item(
        "rl2/windows",
        "500 pulls of 5 arms, with windows shorter than the trial",
        "Backpropagation through a trial keeps all of its 501 steps. With rollouts of 50 it is cheaper and sees no "
        "further; a forward estimator carries its trace on to the next. MinGRU's units do not meet: RTRL is cheap and "
        "exact, and whole trials are one scan.",
        windows,
        {"smoke": 1, "laptop": 120, "paper": 2000},
        RETURN,
        UNIT,
        {},
    ),
    Item(
        "rl2/choices",
        "Which arm is pulled",
        "100 pulls of 10 arms, in 1,000 worlds: how often the best arm is pulled, in the last tenth of the trial. The "
        "figure has, for each pull, how often each arm is, the best one above.",
        lambda scale: choices(bandit(*CHOSEN[scale]), BANDIT_BUDGETS[scale][CHOSEN[scale]], scale),
        {"smoke": 1, "laptop": 25, "paper": 2000},
        BEST,
        Unit("share"),
        {},
        draw=draw_choices,
        runs="rl2/bandits",
    ),
    Item(
        "rl2/imitation",
        "A network that is taught to play as Gittins does (section 3.1)",
        "What it reaches shows that what is lacking is not in the network, but in how it is trained. 100 pulls of 10 arms.",
        imitation,
        {"smoke": 1, "laptop": 15, "paper": 600},
        RETURN,
        UNIT,
        {},
    ),
]
