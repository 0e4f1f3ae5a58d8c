"""Agents that learn what lies before their gradient window, and agents that cannot."""

from collections.abc import Sequence
from typing import NamedTuple

from engram.papers.copies import Effort, acting
from engram.papers.item import Case, Scale

CURRICULUM = "Curriculum(NoisyRecall({0}), 'length', 6, 5, 0.8)"
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
    effort = Effort(updates, seeds, 1 if scale == "smoke" else 200)
    return [
        acting(f"A2C, {way}", effort, WINDOW, estimator=way, **common)
        for way in ((TRUNCATED, "RTRL()") if scale != "smoke" else ("RTRL()",))
    ]
