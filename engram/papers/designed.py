"""What people designed for the worlds of RL², and what the paper says of it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from engram.envs import AbstractEnv, Bandit, TabularMDP
from engram.papers.item import RETURN, Case, Measured, Place, Scale, kept
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
    InformationDirected,
    LikeliestDraw,
    OptimisticThompson,
    Oracle,
    Random,
    Thompson,
    score,
)

TRIED = 1_000
"""Trials in which each of several hyper-parameters is tried."""


class Watched(NamedTuple):
    """How long strategies are watched: groups of trials, of which each counts as a seed."""

    groups: int
    trials: int

    @property
    def worlds(self) -> int:
        """All trials: what is learnt plays as many."""
        return self.groups * self.trials


WATCHED: dict[Scale, Watched] = {"smoke": Watched(3, 20), "laptop": Watched(10, 1_000), "paper": Watched(10, 10_000)}


class Setting(NamedTuple):
    """Trials of so many episodes in an environment, and the paper's numbers by the names of its columns."""

    name: str
    env: AbstractEnv
    episodes: int
    claims: dict[str, float]


def contestant(setting: Setting, name: str, candidates: Sequence[AbstractStrategy], scale: Scale) -> Case:
    """The best of several strategies, chosen in other trials than those that it is scored in."""
    watched = WATCHED[scale]

    def play(place: Place) -> dict[str, Any]:
        env, episodes = setting.env, setting.episodes
        tried = min(TRIED, watched.worlds)

        def worth(candidate: AbstractStrategy) -> float:
            return float(score(env, candidate, episodes, tried, key=jax.random.key(1)).sum(1).mean())

        chosen = candidates[0]
        if len(candidates) > 1:
            chosen = candidates[int(np.argmax([worth(each) for each in place.each(candidates)]))]
        returns = score(env, chosen, episodes, watched.worlds, key=jax.random.key(0)).sum(1)
        means = np.asarray(returns).reshape(watched.groups, watched.trials).mean(1)
        rows = [{"update": 0, "step": 0, "seed": group, RETURN: float(mean)} for group, mean in enumerate(means)]
        return {"rows": rows, "note": chosen_of(chosen, candidates)}

    def measure(place: Place) -> Measured:
        found = kept(place.home / "scores.json", lambda: play(place))
        return Measured(found["rows"], note=found["note"])

    return Case(f"{setting.name}: {name}", measure, setting.claims.get(name))


def chosen_of(chosen: AbstractStrategy, candidates: Sequence[AbstractStrategy]) -> str:
    """The numbers of a strategy that the candidates differ in, whatever it believes."""
    told = [
        {name: value for name, value in vars(getattr(each, "strategy", each)).items() if isinstance(value, int | float)}
        for each in (chosen, *candidates)
    ]
    return ", ".join(f"{name} = {value:g}" for name, value in told[0].items() if any(each[name] != value for each in told))


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


TRUST = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 1.0)
DISCOUNTS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)
OF_BANDITS: dict[str, list[AbstractStrategy]] = {
    "Random": [Random()],
    "Gittins": [Gittins(gamma) for gamma in DISCOUNTS],
    "Thompson": [Thompson()],
    "likeliest draw": [LikeliestDraw()],
    "UCB1": [UCB1(c) for c in TRUST],
    "epsilon-greedy": [EpsilonGreedy(epsilon) for epsilon in (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)],
    "greedy": [Greedy()],
    "optimistic Thompson": [OptimisticThompson()],
    "KL-UCB": [KLUCB(c) for c in (0.0, *TRUST)],
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
