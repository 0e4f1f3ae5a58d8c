"""Recurrent policy gradients: Bartunov, *Deep reinforcement learning with memory* (slides), and past their window."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from engram.envs import AbstractEnv, CartPole, Eat, Ladder, NoisyRecall, RepeatPrevious, TMaze
from engram.papers.item import RETURN as PLAYED
from engram.papers.item import Case, Item, Scale, Unit, configured, played
from engram.reports.record import Record
from engram.runs.config import Config

TITLE = "Recurrent policy gradients"
RETURN = "charts/episodic_return"
UNIT = Unit("return")
ADAM = "chain(clip_by_global_norm(1.0), adam(1e-3))"


class Effort(NamedTuple):
    """Updates, seeds, and rows of the log."""

    updates: int
    seeds: int
    rows: int = 200


def acting(name: str, effort: Effort, length: int, **expressions: Any) -> Case:
    return configured(name, copies(effort, length, **expressions))


def copies(effort: Effort, length: int, **expressions: Any) -> Config:
    """A run of 32 copies of an environment, each of which takes so many steps between two updates."""
    fields: dict[str, Any] = {
        "task": None,
        "cell": "LSTM(64)",
        "estimator": "BPTT()",
        "optimiser": ADAM,
        "batch": 32,
    } | expressions
    fields |= {"length": length, "steps": effort.updates * fields["batch"] * length}
    fields |= {"seed": 0, "seeds": effort.seeds, "log_every": effort.updates // effort.rows}
    return Config(**fields)


PLAIN = "PolicyGradient(ToGo(), gamma=1.0)"
BASELINE = "PolicyGradient(Advantage(), gamma=1.0)"
CURRICULUM = "Curriculum(NoisyRecall({0}), 'length', 6, 5, 0.8)"


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


A2C = "PolicyGradient(Advantage(0.95), entropy_cost=0.01)"
TWICE = "PPO(epochs=2, minibatches=2)"
WINDOW = 8


def fading(units: int, back: int) -> str:
    """A cell that forgets at first: of what it saw so many steps back, less than 3 % is left, and noise on it."""
    return f"RTU({units}, 0.5, {0.93 ** (50 / back):.3f})"


class Line(NamedTuple):
    """An agent, its units, its estimator, the steps that a hint is back, and its updates at the scale of a laptop."""

    name: str
    agent: str
    units: int
    estimator: str
    back: int = 50
    updates: int = 30_000


def blind(scale: Scale, lines: Sequence[Line]) -> list[Case]:
    """Rollouts as long as the window: what is not in the trace is not learnt from."""

    def case(line: Line) -> Case:
        updates = {"smoke": 8 * line.back // 50, "laptop": line.updates, "paper": 3 * line.updates}[scale]
        seeds = {"smoke": 2, "laptop": 5, "paper": 10}[scale]
        return acting(
            f"{line.name}, {line.units} units, {line.estimator}",
            Effort(updates, seeds, 1 if scale == "smoke" else 200),
            WINDOW,
            env=f"TMaze({line.back})",
            agent=line.agent,
            cell=fading(line.units, line.back),
            estimator=line.estimator,
            optimiser="chain(clip_by_global_norm(0.5), adam(3e-3))",
        )

    return [case(line) for line in (lines if scale != "smoke" else lines[-1:])]


TRUNCATED, FOLLOWED = f"TBPTT({WINDOW})", f"UORO(memory={WINDOW})"


def past(scale: Scale) -> list[Case]:
    agents = {"A2C": A2C, "PPO": TWICE}
    return blind(scale, [Line(*each, 32, way) for each in agents.items() for way in (TRUNCATED, "RTRL()")])


def noise(scale: Scale) -> list[Case]:
    ways = [(8, "RTRL()"), (8, FOLLOWED), (8, f"UORO(rank=4, memory={WINDOW})"), (32, FOLLOWED)]
    return blind(scale, [Line("A2C", A2C, *way, updates=80_000) for way in ways])


def further(scale: Scale) -> list[Case]:
    return blind(scale, [Line("A2C", A2C, 32, way, 100, 80_000) for way in (TRUNCATED, "RTRL()")])


def recall_past(scale: Scale) -> list[Case]:
    """The slides' curriculum, by a cell whose gates can shut out noise, and whose units do not meet: RTRL is cheap."""
    length, updates, seeds = {"smoke": (12, 8, 2), "laptop": (200, 48_000, 5), "paper": (500, 400_000, 10)}[scale]
    common = {
        "env": CURRICULUM.format(length),
        "agent": A2C,
        "cell": "ELSTM(32)",
        "optimiser": "chain(clip_by_global_norm(0.5), adam(3e-3, eps=1e-5))",
    }
    effort, looks = Effort(updates, seeds, 1 if scale == "smoke" else 200), 1 if scale == "smoke" else 16
    return [
        played(f"A2C, {way}", copies(effort, WINDOW, estimator=way, **common), 1_000, times=looks)
        for way in ((TRUNCATED, "RTRL()") if scale != "smoke" else ("RTRL()",))
    ]


def solved(scale: Scale) -> list[Case]:
    """PPO with a GRU, rollouts of 128 steps of 64 copies."""
    effort = {"smoke": Effort(1, 2, 1), "laptop": Effort(400, 5), "paper": Effort(1_000, 10)}[scale]
    agent = "PPO()" if scale != "smoke" else "PPO(epochs=1)"
    envs = ("TMaze(20)", "RepeatPrevious()", "CartPole(speeds=False)") if scale != "smoke" else ("TMaze(20)",)
    common = {"cell": "GRU(64)", "batch": 64, "agent": agent, "optimiser": "chain(clip_by_global_norm(0.5), adam(1e-3))"}
    return [acting(env, effort, 128 if scale != "smoke" else 64, env=env, **common) for env in envs]


def steps_to(level: float) -> Callable[[Record, str], dict[int, float]]:
    """How many steps each seed takes until the mean of 5 rows of the log is above a level; NaN if it never is.

    Rows count once episodes are as long as the end of the case's name says, to where a curriculum must first come.
    """

    def final(record: Record, metric: str) -> dict[int, float]:
        length, reached = int(record.name.rpartition(" ")[2]), {}
        for seed in sorted({row["seed"] for row in record.rows}):
            rows = [row for row in record.rows if row["seed"] == seed and row.get(metric) is not None]
            rows = [row for row in rows if row["charts/episodic_length"] > length - 0.5]
            means = (sum(row[metric] for row in rows[end - 4 : end + 1]) / 5 for end in range(4, len(rows)))
            reached[seed] = next(
                (float(row["step"]) for row, mean in zip(rows[4:], means, strict=True) if mean > level), math.nan
            )
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
    {"smoke": 1, "laptop": 60, "paper": 900},
    RETURN,
    UNIT,
    levels((NoisyRecall(10), "")),
)

ITEMS = [
    RECALL,
    RECALL._replace(
        name="recurrent-pg/recall-steps",
        title="Steps until noisy class recall is solved",
        shows="The same runs: the steps of all copies until the return is at 90 % of the optimum.",
        unit=Unit("steps to 90 %"),
        levels={},
        final=steps_to(0.9 * NoisyRecall(10).optimum),
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
        {"smoke": 1, "laptop": 20, "paper": 120},
        RETURN,
        UNIT,
        levels((TMaze(50), "")),
    ),
    Item(
        "recurrent-pg/further",
        "Further past: a hint of 100 steps ago, and gradients of 8 steps",
        "As before, with decays of 0.5 to 0.964, and 20 million steps.",
        further,
        {"smoke": 1, "laptop": 15, "paper": 90},
        RETURN,
        UNIT,
        levels((TMaze(100), "")),
    ),
    Item(
        "recurrent-pg/recall-past",
        "Noisy class recall beyond the slides: length 200, and gradients of 8 steps",
        "The slides end at 100 steps, with credit through all of them. Here lengths grow from 6 on, whenever one is "
        "mastered; what is shown is the return at 200.",
        recall_past,
        {"smoke": 1, "laptop": 10, "paper": 300},
        PLAYED,
        UNIT,
        levels((NoisyRecall(200), "")),
    ),
    Item(
        "recurrent-pg/solved",
        "PPO with a GRU",
        "A T-maze, repeating what was shown 4 steps ago, and balancing a pole without seeing speeds.",
        solved,
        {"smoke": 1, "laptop": 30, "paper": 300},
        RETURN,
        UNIT,
        levels((TMaze(20), " of the maze"), (RepeatPrevious(), " of repeating"), (CartPole(speeds=False), " of the pole")),
    ),
]
