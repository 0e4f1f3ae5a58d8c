"""The worlds of RL², the paper's numbers, and hand-designed strategies."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from farback.envs import AbstractEnv, Bandit, TabularMDP
from farback.papers.engine.item import RETURN, Case, Place
from farback.papers.engine.runs import computed
from farback.runs.expressions import express
from farback.runs.kinds import build
from farback.runs.log import Row
from farback.strategies import AbstractStrategy, score
from farback.strategies.base import prior


class Watched(NamedTuple):
    """The number of groups of trials that are scored, and the trials of a group. A group's mean counts as a seed."""

    groups: int
    trials: int


WATCHED = (Watched(3, 20), Watched(10, 1_000), Watched(10, 10_000))


class Setting(NamedTuple):
    """Trials of several episodes in one world, and the settings of PPO.

    - `name`, `env`, `episodes`: the column of the table, the environment, and the episodes of a trial.
    - `claims`: the paper's numbers, by the name of the policy.
    - `discount`: its first and its last value, and the part of the updates in which it grows.
    - `gae_lambda`, `entropy`: λ, and the first entropy coefficient.
    - `layer`: whether a layer reads the memory, which is useful where there are states to look up.
    """

    name: str
    env: AbstractEnv
    episodes: int
    claims: Mapping[str, float]
    discount: tuple[float, float, float]
    gae_lambda: float
    entropy: float
    layer: bool

    @property
    def steps(self) -> int:
        """The steps of a trial."""
        return self.episodes * prior(self.env).horizon

    @property
    def trials(self) -> str:
        """The environment whose episodes are trials."""
        return f"PreviousActionReward(Trials({express(self.env)}, {self.episodes}), none=False)"


BANDIT_COLUMNS = ("Random", "Gittins", "Thompson", "likeliest draw", "UCB1", "epsilon-greedy", "greedy", "RL²")
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
"""Table 1, by pulls and arms."""
PATIENCE = {10: (0.95, 1.0), 100: (0.97, 0.5), 500: (0.97, 0.5)}
"""The discount at the end, and the part of the updates in which it grows, by the pulls of a trial."""

MODEL_BASED = ("PSRL, mean 0", "OPSRL, mean 0", "UCRL2 as published, no prior", "BEB, mean 0")
MDP_COLUMNS = ("Random", *MODEL_BASED, "epsilon-greedy, no prior", "greedy, no prior", "RL²")
MDPS = {
    10: (100.1, 138.1, 144.1, 146.6, 150.2, 132.8, 134.8, 156.2),
    25: (250.2, 408.8, 425.2, 424.1, 427.8, 377.3, 368.8, 445.7),
    50: (499.7, 904.4, 930.7, 918.9, 917.8, 823.3, 769.3, 936.1),
    75: (749.9, 1417.1, 1449.2, 1427.6, 1422.6, 1293.9, 1172.9, 1428.8),
    100: (999.4, 1939.5, 1973.9, 1942.1, 1935.1, 1778.2, 1578.5, 1913.7),
}
"""Table 2, by episodes. The paper does not state the priors of its strategies; its numbers match these priors."""


def bandit(place: tuple[int, int]) -> Setting:
    """Trials of bandits, by pulls and arms."""
    pulls, arms = place
    claims: dict[str, float] = dict(zip(BANDIT_COLUMNS, BANDITS[place], strict=True))
    entropy = min(0.05, 0.5 / arms)
    return Setting(f"{pulls}, {arms}", Bandit(arms), pulls, claims, (0.7, *PATIENCE[pulls]), 0.95, entropy, False)


def mdp(episodes: int) -> Setting:
    claims: dict[str, float] = dict(zip(MDP_COLUMNS, MDPS[episodes], strict=True))
    return Setting(str(episodes), TabularMDP(), episodes, claims, (0.5, 0.8, 1.0), 0.8, 0.05, True)


TRIED = 1_000
"""The trials that score each value of a hyper-parameter."""

Strategies = Mapping[str, tuple[str, tuple[float, ...]]]
"""By name: an expression with {} for a hyper-parameter, and the values that are tried."""
# fmt: off
C, SCALES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 1.0), (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
OF_BANDITS: Strategies = {
    "Random": ("Random()", ()), "Gittins": ("Gittins(gamma={})", (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)),
    "Thompson": ("Thompson()", ()), "likeliest draw": ("LikeliestDraw()", ()), "UCB1": ("UCB1(c={})", C),
    "epsilon-greedy": ("EpsilonGreedy(epsilon={})", (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)), "greedy": ("Greedy()", ()),
    "optimistic Thompson": ("OptimisticThompson()", ()), "KL-UCB": ("KLUCB(c={})", (0.0, *C)),
    "information-directed": ("InformationDirected()", ()), "known arms": ("Oracle()", ()),
}
ZERO, FLAT = "TabularMDP(mean=0.0)", "TabularMDP(concentration=1e-4, mean=0.0, spread=100.0)"
"""Priors: rewards of mean 0, and almost no prior."""
OF_MDPS: Strategies = {
    "Random": ("Random()", ()), "PSRL, mean 0": (f"WithPrior(Thompson(), {ZERO})", ()),
    "OPSRL, mean 0": (f"WithPrior(OPSRL(samples={{}}), {ZERO})", (3, 10, 30)),
    "UCRL2, no prior": (f"WithPrior(UCRL2(scale={{}}), {FLAT})", (0.1, 0.2, 0.3, 0.5)),
    "UCRL2 as published, no prior": (f"WithPrior(UCRL2(scale={{}}, faithful=True), {FLAT})", (0.1, 0.2, 0.3, 0.5)),
    "BEB, mean 0": (f"WithPrior(BEB(scale={{}}), {ZERO})", SCALES),
    "epsilon-greedy, no prior": (f"WithPrior(EpsilonGreedy(epsilon={{}}), {FLAT})", (0.05, 0.1, 0.2, 0.3)),
    "greedy, no prior": (f"WithPrior(Greedy(), {FLAT})", ()),
    "PSRL": ("Thompson()", ()), "OPSRL": ("OPSRL(samples={})", (3, 10, 30)),
    "UCRL2": ("UCRL2(scale={})", (0.01, 0.03, 0.1, 0.3)), "BEB": ("BEB(scale={})", (0.0, *SCALES)),
    "epsilon-greedy": ("EpsilonGreedy(epsilon={})", (0.0, 0.02, 0.05, 0.1)), "greedy": ("Greedy()", ()),
    "known process": ("Oracle()", ()),
}
# fmt: on


def contestant(setting: Setting, name: str, text: str, values: tuple[float, ...], watched: Watched) -> Case:
    """A strategy with the best of several hyper-parameter values, selected on other trials than the scored ones."""

    def returns(value: float, trials: int, seed: int) -> np.ndarray:
        strategy = build(text.format(value), AbstractStrategy)
        return np.asarray(score(setting.env, strategy, setting.episodes, trials, key=jax.random.key(seed)).sum(1))

    def play(place: Place) -> tuple[list[Row], str]:
        selected, note = 0.0, ""
        if values:
            tried = [returns(value, min(TRIED, math.prod(watched)), 1).mean() for value in place.track(place.title, values)]
            selected = values[int(np.argmax(tried))]
            note = f"{text.partition('={}')[0].rpartition('(')[2]} = {selected:g}"
        means = returns(selected, math.prod(watched), 0).reshape(watched).mean(1)
        rows = [{"update": 0, "step": 0, "seed": group, RETURN.name: float(mean)} for group, mean in enumerate(means)]
        return rows, note

    return Case(f"{setting.name}: {name}", computed(play), setting.claims.get(name))
