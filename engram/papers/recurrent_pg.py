"""Recurrent policy gradients: Bartunov, *Deep reinforcement learning with memory* (slides), and past their window."""

import math
from collections.abc import Callable

from engram.envs import AbstractEnv, CartPole, Eat, Ladder, NoisyRecall, RepeatPrevious, TMaze
from engram.papers.copies import Effort, acting
from engram.papers.item import Case, Item, Scale, Unit
from engram.papers.past_window import CURRICULUM, further, noise, past, recall_past
from engram.reports.record import Record

TITLE = "Recurrent policy gradients"
RETURN = "charts/episodic_return"
UNIT = Unit("return")


PLAIN = "PolicyGradient(ToGo(), gamma=1.0)"
BASELINE = "PolicyGradient(Advantage(), gamma=1.0)"


def recall(scale: Scale) -> list[Case]:
    """Whole episodes, the closing step included, and credit through all of them; a memory each for policy and baseline."""
    lengths, effort = {
        "smoke": ((6,), Effort(4, 2, 1)),
        "laptop": ((10, 25, 50, 100), Effort(2_000, 5)),
        "paper": ((10, 25, 50, 100, 200), Effort(10_000, 10)),
    }[scale]
    ways = {
        "reward to go": (PLAIN, "NoisyRecall({0})"),
        "minus a baseline": (BASELINE, "NoisyRecall({0})"),
        "10 steps ahead": ("PolicyGradient(LookAhead(10), gamma=1.0)", "NoisyRecall({0})"),
        "curriculum": (BASELINE, CURRICULUM),
    }
    return [
        acting(f"{name}, length {length}", effort, length + 1, env=env.format(length), agent=agent)
        for length in lengths
        for name, (agent, env) in (ways.items() if scale != "smoke" else list(ways.items())[2:])
    ]


FORAGED = ("chain(clip_by_global_norm(1.0), adam(3e-3))", 0.9)
"""The optimiser and γ of the eat game. With γ = 0.99 many seeds come to eat nothing: later foods are noise."""


def eat(scale: Scale) -> list[Case]:
    (few, many), effort, of_ppo = {
        "smoke": ((2, 3), Effort(4, 2, 1), (Effort(4, 2, 1), Effort(4, 2, 1))),
        "laptop": ((3, 10), Effort(16_000, 3), (Effort(3_000, 3), Effort(9_000, 3))),
        "paper": ((3, 10), Effort(50_000, 10), (Effort(10_000, 10), Effort(30_000, 10))),
    }[scale]
    optimiser, gamma = FORAGED
    ways = {"the reward alone": "Immediate()", "reward to go": "ToGo()", "minus a baseline": "Advantage()"}
    ways |= {"10 steps ahead": "LookAhead(10)"}
    cases = [
        acting(
            f"{name}, {few} foods",
            effort,
            51,
            env=f"Previous(Eat({few}))",
            agent=f"PolicyGradient({credit}, gamma={gamma}, entropy_cost=0.01)",
            optimiser=optimiser,
        )
        for name, credit in ways.items()
    ]
    cases += [
        acting(
            f"PPO, {count} foods",
            effort,
            51,
            env=f"Previous(Eat({count}))",
            agent=f"PPO(gamma={gamma}, lam=0.9)",
            batch=64,
            optimiser="chain(clip_by_global_norm(1.0), adam(2e-3))",
        )
        for count, effort in zip((few, many), of_ppo, strict=True)
    ]
    return cases if scale != "smoke" else [cases[0], cases[-1]]


def immediate(scale: Scale) -> list[Case]:
    effort = {"smoke": Effort(4, 2, 1), "laptop": Effort(500, 5), "paper": Effort(2_000, 10)}[scale]
    ways = {
        "the reward alone": "PolicyGradient(Immediate())",
        "reward to go": "PolicyGradient(ToGo())",
        "minus a baseline": "PolicyGradient(Advantage())",
    }
    tried = list(ways.items())[: 1 if scale == "smoke" else None]
    return [acting(name, effort, 32, env="Ladder()", agent=agent, cell="LSTM(16)") for name, agent in tried]


POLE = "CartPole(speeds=False)"
SOLVED: dict[str, AbstractEnv] = {
    "TMaze(20)": TMaze(20),
    "RepeatPrevious()": RepeatPrevious(),
    POLE: CartPole(speeds=False),
}


def solved(scale: Scale) -> list[Case]:
    """PPO with a GRU, rollouts of 128 steps of 64 copies. The pole wants a steady hand: shrinking steps, and no entropy."""
    if scale == "smoke":
        return [acting("TMaze(20)", Effort(1, 2, 1), 64, env="TMaze(20)", cell="GRU(64)", batch=64, agent="PPO(epochs=1)")]
    effort = {"laptop": Effort(400, 5), "paper": Effort(1_000, 10)}[scale]
    common = {"cell": "GRU(64)", "batch": 64}
    clipped = "chain(clip_by_global_norm(0.5), {})"
    cases = [
        acting(env, effort, 128, env=env, agent="PPO()", optimiser=clipped.format("adam(1e-3)"), **common)
        for env in SOLVED
        if env != POLE
    ]
    longer = effort._replace(updates=2 * effort.updates)
    shrinking = clipped.format(f"adam(linear_schedule(1e-3, 0.0, {16 * longer.updates}))")
    return [*cases, acting(POLE, longer, 128, env=POLE, agent="PPO(entropy_cost=0.0)", optimiser=shrinking, **common)]


def steps_to(
    level: Callable[[str], float], length: Callable[[str], float] = lambda name: 0.0
) -> Callable[[Record, str], dict[int, float]]:
    """How many steps each seed takes until the mean of 5 rows of the log is above a level; NaN if it never is.

    **Arguments:**

    - `level`: that of a case, by its name.
    - `length`: how long its episodes must be for a row to count, where they become longer.
    """

    def final(record: Record, metric: str) -> dict[int, float]:
        reached = {}
        for seed in sorted({row["seed"] for row in record.rows}):
            rows = [row for row in record.rows if row["seed"] == seed and row.get(metric) is not None]
            rows = [row for row in rows if row["charts/episodic_length"] > length(record.name) - 0.5]
            means = (sum(row[metric] for row in rows[end - 4 : end + 1]) / 5 for end in range(4, len(rows)))
            found = zip(rows[4:], means, strict=True)
            reached[seed] = next((float(row["step"]) for row, mean in found if mean > level(record.name)), math.nan)
        return reached

    return final


def levels(*envs: tuple[AbstractEnv, str]) -> dict[str, float]:
    """What environments state of themselves, by their names where there are several."""
    found = {}
    for env, name in envs:
        found |= {f"optimum{name}": env.optimum, f"memoryless{name}": env.memoryless}
    return {name: value for name, value in found.items() if value == value}


RECALL = Item(
    "recurrent-pg/recall",
    "Noisy class recall, lengths 10 to 100",
    "The class is shown under noise in the first 4 steps and asked for in the last. The slides: plain policy gradients "
    "struggle at 100 steps; a baseline helps; looking a few steps ahead works at times and is unstable; a curriculum of "
    "growing lengths works well.",
    recall,
    {"smoke": 1, "laptop": 20, "paper": 900},
    RETURN,
    UNIT,
    levels((NoisyRecall(10), "")),
)

BY_PPO = Item(
    "recurrent-pg/solved",
    "PPO with a GRU",
    "A T-maze, repeating what was shown 4 steps ago, and balancing a pole without seeing speeds.",
    solved,
    {"smoke": 1, "laptop": 15, "paper": 300},
    RETURN,
    UNIT,
    levels(
        *((env, f" of {name}") for name, env in zip(("the maze", "repeating", "the pole"), SOLVED.values(), strict=True))
    ),
)

ITEMS = [
    RECALL,
    RECALL._replace(
        name="recurrent-pg/recall-steps",
        title="Steps until noisy class recall is solved",
        shows="The same runs: the steps of all copies until the return is at 90 % of the optimum.",
        unit=Unit("steps to 90 %"),
        levels={},
        final=steps_to(lambda name: 0.9 * NoisyRecall(10).optimum, lambda name: float(name.rpartition(" ")[2])),
        runs=RECALL.name,
    ),
    Item(
        "recurrent-pg/eat",
        "The eat game",
        "Foods are good or bad for an episode. The slides: the best strategy is learnt; variance reduction speeds it up; "
        "more contexts are harder; and there Ψ = r works, as memory is the only thing that an action can change.",
        eat,
        {"smoke": 1, "laptop": 40, "paper": 900},
        RETURN,
        UNIT,
        levels(*((Eat(count), f", {count} foods") for count in (3, 10))),
    ),
    Item(
        "recurrent-pg/immediate",
        "An ordinary decision process, by the reward alone",
        "A ladder of 5 rungs, each of which costs 0.1, and the last is worth 1: by Ψ = r, climbs are losses.",
        immediate,
        {"smoke": 1, "laptop": 2, "paper": 10},
        RETURN,
        UNIT,
        {"optimum": Ladder().optimum},
    ),
    Item(
        "recurrent-pg/past",
        "Past the window: a hint of 50 steps ago, and gradients of 8 steps",
        "Truncated backpropagation cannot see the hint of the T-maze. RTRL, cheap for a diagonal cell, carries its "
        "trace from one rollout to the next. The cell begins with decays of 0.5 to 0.93 a step, so that less than 3 % of "
        "the hint is left at the end, under noise.",
        past,
        {"smoke": 1, "laptop": 20, "paper": 120},
        RETURN,
        UNIT,
        levels((TMaze(50), "")),
    ),
    Item(
        "recurrent-pg/noise",
        "Past the window with UORO, by width and rank",
        "The same maze, 20 million steps. UORO's trace is of any cell, and noisy: the more units, the more noise, and the "
        "higher the rank, the less.",
        noise,
        {"smoke": 1, "laptop": 15, "paper": 120},
        RETURN,
        UNIT,
        levels((TMaze(50), "")),
    ),
    Item(
        "recurrent-pg/further",
        "Further past: a hint of 100 steps ago, and gradients of 8 steps",
        "As before, with decays of 0.5 to 0.964, and 20 million steps.",
        further,
        {"smoke": 1, "laptop": 12, "paper": 90},
        RETURN,
        UNIT,
        levels((TMaze(100), "")),
    ),
    Item(
        "recurrent-pg/recall-past",
        "Noisy class recall beyond the slides: lengths up to 200, and gradients of 8 steps",
        "The slides end at 100 steps, with credit through all of them. Here lengths grow from 6 on, by 5 whenever one is "
        "mastered; what is shown is how long episodes have become.",
        recall_past,
        {"smoke": 1, "laptop": 3, "paper": 300},
        "charts/episodic_length",
        Unit("steps of an episode"),
        {"the goal": 200.0, "the slides' longest": 100.0},
    ),
    BY_PPO,
    BY_PPO._replace(
        name="recurrent-pg/solved-steps",
        title="Steps until PPO has solved them",
        shows="The same runs: the steps of all copies until the return is at 90 % of the optimum, 450 for the pole.",
        unit=Unit("steps to 90 %"),
        levels={},
        final=steps_to(lambda name: 0.9 * SOLVED[name].optimum),
        runs="recurrent-pg/solved",
    ),
]
