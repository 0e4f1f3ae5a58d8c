"""Recurrent policy gradients: Bartunov, *Deep reinforcement learning with memory* (slides), and beyond their window."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from farback.envs import AbstractEnv, CartPole, Eat, Ladder, NoisyRecall, RepeatPrevious, TMaze
from farback.papers.engine.finals import steps_to
from farback.papers.engine.item import LENGTH, RETURN, Case, Item, Metric
from farback.papers.engine.runs import Words, clipped_adam, configured, log

TITLE = "Recurrent policy gradients"
USUAL = {"cell": "LSTM(64)", "estimator": "BPTT()", "optimizer": clipped_adam(1e-3), "num_envs": 32}
CURRICULUM = "Curriculum(NoisyRecall({}), 'length', 6, 5, 0.8)"
ALONE: dict[str, Mapping[str, Any]] = {"the reward alone": {"psi": "ImmediateReward()"}}
BASELINE: dict[str, Mapping[str, Any]] = {"reward to go": {"psi": "RewardToGo()"}, "minus a baseline": {"psi": "GAE()"}}
AHEAD: dict[str, Mapping[str, Any]] = {"10 steps ahead": {"psi": "NStep(10)"}}
"""Policy gradients, by their Ψ."""


Effort = tuple[int, int, int]
"""Updates, seeds, and rows of the log."""


def efforts(smoke: int, laptop: int, paper: int, seeds: int = 5) -> tuple[Effort, Effort, Effort]:
    """The efforts at every scale, from the updates, and from the seeds of `laptop`."""
    return (smoke, 2, 1), (laptop, seeds, 200), (paper, 10, 200)


def case(name: str, effort: Effort, algorithm: str = "policy-gradient", **words: Any) -> Case:
    """A run of an agent, by default with an LSTM in 32 copies of the environment."""
    updates, seeds, rows = effort
    return Case(name, log(configured(algorithm, updates, rows, seeds=seeds, **USUAL | words)))


def recall(lengths: Sequence[int], effort: Effort) -> list[Case]:
    """Whole episodes, last observation included, and credit through all of them; policy and baseline share no memory."""

    def of(length: int, way: str, psi: str, env: str = "NoisyRecall({})") -> Case:
        return case(f"{way}, length {length}", effort, psi=psi, env=env.format(length), window=length + 1, gamma=1.0)

    ways = BASELINE | AHEAD | {"curriculum": {"psi": "GAE()", "env": CURRICULUM}}
    return [of(length, way, **words) for length in lengths for way, words in ways.items()]


def eat(foods: tuple[int, int], alone: Effort, few: Effort, many: Effort) -> list[Case]:
    """Policy gradients with few foods, and PPO with few and with many.

    With γ = 0.99, many seeds learn to eat nothing: the rewards of later foods are noise.
    """

    def of(way: str, count: int, effort: Effort, rate: float, **words: Any) -> Case:
        usual = Words(env=f"PreviousActionReward(Eat({count}))", gamma=0.9, optimizer=clipped_adam(rate))
        return case(f"{way}, {count} foods", effort, window=51, **usual, **words)

    ways = (ALONE | BASELINE | AHEAD).items()
    cases = [of(way, foods[0], alone, 3e-3, entropy_coef=0.01, **words) for way, words in ways]
    ppo = Words(algorithm="ppo", gae_lambda=0.9, num_envs=64)
    return [*cases, *(of("PPO", count, effort, 2e-3, **ppo) for count, effort in zip(foods, (few, many), strict=True))]


def immediate(effort: Effort) -> list[Case]:
    words = Words(env="Ladder()", window=32, cell="LSTM(16)")
    return [case(name, effort, **words, **way) for name, way in (ALONE | BASELINE).items()]


POLE = "CartPole(speeds=False)"
SOLVED: dict[str, AbstractEnv] = {"TMaze(20)": TMaze(20), "RepeatPrevious()": RepeatPrevious()}
SOLVED[POLE] = CartPole(speeds=False)


def solved(effort: Effort, window: int, epochs: int) -> list[Case]:
    """PPO with a GRU and 64 copies. The pole has twice the updates, a falling learning rate, and no entropy bonus."""
    words = Words(cell="GRU(64)", num_envs=64, window=window, epochs=epochs)
    words |= {"algorithm": "ppo", "optimizer": clipped_adam(1e-3, 0.5)}
    cases = [case(env, effort, **words, env=env) for env in SOLVED if env != POLE]
    updates, seeds, rows = effort
    words |= {"optimizer": clipped_adam(1e-3, 0.5, 32 * updates), "entropy_coef": 0.0}
    return [*cases, case(POLE, (2 * updates, seeds, rows), **words, env=POLE)]


WINDOW, TRUNCATED, UORO = 8, "TBPTT(8)", "UORO(memory=8)"
A2C = Words(algorithm="policy-gradient", psi="GAE(0.95)", entropy_coef=0.01)
AGENTS: dict[str, Words] = {"A2C": A2C, "PPO": {"algorithm": "ppo", "epochs": 2, "minibatches": 2}}
FURTHER = [("A2C", 32, TRUNCATED), ("A2C", 32, "RTRL()")]
PAST = [*FURTHER, ("PPO", 32, TRUNCATED), ("PPO", 32, "RTRL()")]
NOISE = [("A2C", 8, "RTRL()"), ("A2C", 8, UORO), ("A2C", 8, "UORO(rank=4, memory=8)"), ("A2C", 32, UORO)]
"""Agents, units and estimators."""


def past(lines: Sequence[tuple[str, int, str]], back: int, effort: Effort) -> list[Case]:
    """A hint `back` steps before it is needed, and rollouts as short as the window of the gradient.

    The cell forgets at first: less than 3 % of an input is left after `back` steps, amid noise.
    """

    def of(agent: str, units: int, estimator: str) -> Case:
        words = Words(env=f"TMaze({back})", window=WINDOW, optimizer=clipped_adam(3e-3, 0.5))
        words |= {"cell": f"RTU({units}, 0.5, {0.93 ** (50 / back):.3f})", "estimator": estimator}
        return case(f"{agent}, {units} units, {estimator}", effort, **words, **AGENTS[agent])

    return [of(*line) for line in lines]


def recall_past(length: int, effort: Effort) -> list[Case]:
    """The slides' curriculum, with a cell whose gates can shut out noise and whose units do not interact: RTRL is cheap."""
    words = A2C | Words(env=CURRICULUM.format(length), cell="ELSTM(32)", window=WINDOW)
    words["optimizer"] = "chain(clip_by_global_norm(0.5), adam(3e-3, eps=1e-5))"
    return [case(f"A2C, {way}", effort, **words, estimator=way) for way in (TRUNCATED, "RTRL()")]


def levels(*envs: tuple[AbstractEnv, str]) -> dict[str, float]:
    """The known levels of environments, with a suffix for each where there are several."""
    found = {f"{level}{name}": getattr(env, level) for env, name in envs for level in ("optimum", "memoryless")}
    return {name: value for name, value in found.items() if value == value}


# fmt: off
RECALL = Item("recurrent-pg/recall", "Noisy class recall, lengths 10 to 100",
    "The first 4 steps show a class with noise, and the last step asks for it. In the slides, plain policy gradients "
    "struggle at 100 steps; a baseline helps; an advantage over a few steps works at times and is unstable; a curriculum "
    "of growing lengths works well.",
    recall, {"lengths": ((6,), (10, 25, 50, 100), (10, 25, 50, 100, 200)), "effort": efforts(4, 2_000, 10_000)},
    minutes=(1, 20, 900), metric=RETURN, levels=levels((NoisyRecall(10), "")), smoke=(2, 3))
BY_PPO = Item("recurrent-pg/solved", "PPO with a GRU",
    "A T-maze, repeating the observation of 4 steps ago, and balancing a pole without observing speeds.",
    solved, {"effort": efforts(1, 400, 1_000), "window": (64, 128, 128), "epochs": (1, 4, 4)},
    minutes=(1, 15, 300), metric=RETURN, smoke=(0,),
    levels=levels(*zip(SOLVED.values(), (" of the maze", " of repeating", " of the pole"), strict=True)))
TO_SOLVE = {"metric": Metric("charts/episodic_return", "steps to 90 %"), "levels": {}}

ITEMS = [
    RECALL,
    RECALL._replace(name="recurrent-pg/recall-steps", title="Steps until noisy class recall is solved",
        shows="The same runs: the steps of all copies until the return reaches 90 % of the optimum.",
        final=steps_to(lambda name: 0.9 * NoisyRecall(10).optimum, lambda name: float(name.rpartition(" ")[2])),
        runs=RECALL.name, **TO_SOLVE),
    Item("recurrent-pg/eat", "The eat game",
        "Each food is good or bad for a whole episode. In the slides, the best strategy is learnt; variance reduction "
        "speeds up learning; more contexts are harder; and Ψ = r works, because an action changes nothing but the memory.",
        eat, {"foods": ((2, 3), (3, 10), (3, 10)),
         "alone": efforts(4, 16_000, 50_000, 3), "few": efforts(4, 3_000, 10_000, 3), "many": efforts(4, 9_000, 30_000, 3)},
        minutes=(1, 40, 900), metric=RETURN, smoke=(0, -1),
        levels=levels(*((Eat(count), f", {count} foods") for count in (3, 10)))),
    Item("recurrent-pg/immediate", "Immediate reward alone in an ordinary decision process",
        "A ladder of 5 rungs: each step up costs 0.1, and the last rung is worth 1. With Ψ = r, a step up counts only its "
        "cost.",
        immediate, {"effort": efforts(4, 500, 2_000)}, minutes=(1, 2, 10), metric=RETURN,
        levels={"optimum": Ladder().optimum}, smoke=(0,)),
    Item("recurrent-pg/past", "Past the window: a hint 50 steps ago, and gradients of 8 steps",
        "Truncated backpropagation gets no gradient from the hint of the T-maze. RTRL, cheap for a diagonal cell, carries "
        "its trace from one rollout to the next. The cell starts with decays of 0.5 to 0.93 per step: less than 3 % of "
        "the hint is left at the end, amid noise.",
        partial(past, PAST, 50), {"effort": efforts(8, 30_000, 90_000)}, minutes=(1, 20, 120), metric=RETURN,
        levels=levels((TMaze(50), "")), smoke=(-1,)),
    Item("recurrent-pg/noise", "Past the window with UORO, by width and rank",
        "The same maze, 20 million steps. UORO works with any cell but is noisy; a higher rank means less noise.",
        partial(past, NOISE, 50), {"effort": efforts(8, 80_000, 240_000)}, minutes=(1, 15, 120), metric=RETURN,
        levels=levels((TMaze(50), "")), smoke=(-1,)),
    Item("recurrent-pg/further", "Further past: a hint 100 steps ago, and gradients of 8 steps",
        "As before, with decays of 0.5 to 0.964, and 20 million steps.", partial(past, FURTHER, 100),
        {"effort": efforts(16, 80_000, 240_000)}, minutes=(1, 12, 90), metric=RETURN, levels=levels((TMaze(100), "")),
        smoke=(-1,)),
    Item("recurrent-pg/recall-past",
        "Noisy class recall beyond the slides: lengths up to 200, and gradients of 8 steps",
        "The slides end at 100 steps, with credit through all of them. Here the length starts at 6 and grows by 5 "
        "whenever it is mastered. The table shows the length that episodes have reached.",
        recall_past, {"length": (12, 200, 500), "effort": efforts(8, 48_000, 400_000)}, minutes=(1, 3, 300),
        metric=LENGTH,
        levels={"the goal": 200.0, "the slides' longest": 100.0}, smoke=(-1,)),
    BY_PPO,
    BY_PPO._replace(name="recurrent-pg/solved-steps", title="Steps until PPO has solved them",
        shows="The same runs: the steps of all copies until the return reaches 90 % of the optimum, 450 for the pole.",
        final=steps_to(lambda name: 0.9 * SOLVED[name].optimum), runs=BY_PPO.name, **TO_SOLVE),
]
