"""RL²: Fast reinforcement learning via slow reinforcement learning; Duan et al., 2016."""

from functools import partial
from typing import Any

from farback.envs import Maze
from farback.papers.engine.item import RETURN, Item, Metric
from farback.papers.rl2.acting import BEST, arms, imitation
from farback.papers.rl2.learnt import ASSOCIATIVE, GATED, NORMALISED, Budget, Budgets, contest, curves, ppo, trpo, windows
from farback.papers.rl2.navigation import LENGTH, SHORTER, SUCCESS, Effort, by_episode, draw_ways, shorter, ways
from farback.papers.rl2.navigation import curves as navigation_curves
from farback.papers.rl2.worlds import BANDITS, MDPS, OF_BANDITS, OF_MDPS, WATCHED, bandit, mdp
from farback.reports.choices import draw_choices
from farback.reports.dots import draw_dots
from farback.reports.grid import draw_grid

TITLE = "RL²: learning to learn"
TRIAL = Metric("charts/episodic_return", "reward of a trial")
BY_WAY = {"way": (ppo, ppo, trpo)}

# fmt: off
OF_BANDIT = (
    {(10, 5): Budget(8, 16, 4, 2)},
    {(10, 5): Budget(64, 2048, 300, 3), (10, 10): Budget(64, 2048, 400, 3), (10, 50): Budget(64, 2048, 800, 3),
     (100, 5): Budget(64, 1024, 640, 2), (100, 10): Budget(64, 1024, 800, 2), (100, 50): Budget(64, 1024, 800, 1),
     (500, 5): Budget(64, 256, 600, 1), (500, 10): Budget(64, 256, 600, 1), (500, 50): Budget(64, 256, 600, 1)},
    {(pulls, arms): Budget(256, 250_000 // (pulls + 1), 1_000, 1) for pulls, arms in BANDITS},
)
BANDIT_BUDGETS = tuple({place: {GATED: budget} for place, budget in budgets.items()} for budgets in OF_BANDIT)
MDP_BUDGETS: tuple[Budgets, ...] = (
    {10: {GATED: Budget(8, 4, 4, 2), ASSOCIATIVE: Budget(8, 4, 4, 2)}},
    {10: {GATED: Budget(64, 1024, 1_000, 2), ASSOCIATIVE: Budget(128, 1024, 80, 3)},
     25: {GATED: Budget(64, 512, 800, 1), ASSOCIATIVE: Budget(128, 512, 80, 3)},
     50: {GATED: Budget(64, 128, 400, 1), ASSOCIATIVE: Budget(128, 256, 80, 2)},
     75: {GATED: Budget(64, 128, 400, 1), ASSOCIATIVE: Budget(128, 160, 80, 2)},
     100: {GATED: Budget(64, 128, 400, 1), ASSOCIATIVE: Budget(128, 128, 80, 2)}},
    {episodes: {GATED: Budget(256, 250_000 // (10 * episodes + 1), 10_000, 1),
                ASSOCIATIVE: Budget(256, 250_000 // (10 * episodes + 1) // 16 * 16, 1_000, 5)} for episodes in MDPS},
)
SHOWN = ((10, 5), (100, 10), (100, 10))
"""Pulls and arms."""
SMALL, FINE = Maze(horizon=100), Maze(stride=0.2, turn=18.0, horizon=250)
LARGE, LARGE_AND_FINE = Maze(9, horizon=400), Maze(9, stride=0.2, turn=18.0, horizon=1_000)
FEW_PIXELS = "Conv(stride=(4, 2), features=64)"
TRAINING: dict[str, Any] = {"maze": (Maze(horizon=8), SMALL, FINE),
            "effort": (Effort(FEW_PIXELS, 8, 16, 2, 1), Effort(FEW_PIXELS, 128, 64, 600, 5),
                       Effort("Conv(features=256)", 256, 256, 2_000, 5))}
IN_MAZES = {**TRAINING, "trials": (20, 200, 1_000)}
IN_SMALL = {**IN_MAZES, "test": (Maze(horizon=8), SMALL, FINE), "name": ("small",) * 3}
IN_LARGE = {**IN_MAZES, "test": (Maze(9, horizon=32), LARGE, LARGE_AND_FINE), "name": ("large",) * 3}
NAVIGATION: dict[str, Any] = {"minutes": (1, 100, 3_000), "runs": "rl2/navigation"}

ITEMS = [
    Item("rl2/bandits", "Bandits: pulls, arms (table 1)",
        "Ours and, in parentheses, the paper's, over 1,000 trials; ours are over ten groups of 1,000. The hyper-parameters "
        "of strategies are selected on 1,000 other trials, as in the paper; all strategies play in the same worlds. The "
        "paper calls the likeliest draw OTS.",
        partial(contest, bandit, OF_BANDITS), {**BY_WAY, "budgets": BANDIT_BUDGETS, "watched": WATCHED},
        minutes=(2, 100, 15_000), metric=TRIAL, smoke=(3, 4, 11), across=draw_dots),
    Item("rl2/mdps", "Tabular decision processes: episodes (table 2)",
        "The paper's numbers for strategies match a prior that is not the true one: rewards of mean 0, or almost no "
        "prior. The rows below them are the same strategies with the prior that the worlds are drawn from. The last row "
        "is RL² with a memory that the paper does not have, next to the paper's number for a GRU.",
        partial(contest, mdp, OF_MDPS), {**BY_WAY, "budgets": MDP_BUDGETS, "watched": WATCHED}, minutes=(2, 100, 50_000),
        metric=TRIAL, smoke=(3, 4, 15, 16), across=draw_dots),
    Item("rl2/curves", "Learning to learn bandits (fig. 2)",
        "The return of a trial during training, scaled such that the random policy is 0 and the paper's Gittins is 1.",
        partial(curves, bandit, "Gittins"), {**BY_WAY, "budgets": BANDIT_BUDGETS}, minutes=(2, 100, 15_000),
        metric=NORMALISED, levels={"Gittins": 1.0}, runs="rl2/bandits"),
    Item("rl2/curves-mdps", "Learning to learn decision processes (fig. 3)",
        "The same, where the random policy is 0 and the paper's OPSRL is 1.", partial(curves, mdp, "OPSRL, mean 0"),
        {**BY_WAY, "budgets": MDP_BUDGETS}, minutes=(2, 100, 50_000), metric=NORMALISED, levels={"OPSRL": 1.0},
        runs="rl2/mdps"),
    Item("rl2/windows", "500 pulls of 5 arms, with windows shorter than the trial",
        "Backpropagation through a trial stores all of its 501 steps. With rollouts of 50 steps it is cheaper, but no "
        "credit passes beyond a rollout; a forward estimator carries its trace on to the next rollout. MinGRU's units do "
        "not interact: RTRL is cheap and exact, and a whole trial is one scan.",
        windows, {"pulls": (10, 500, 500), "watched": WATCHED,
                  "budget": (Budget(8, 16, 8, 2), Budget(64, 128, 150, 2), Budget(64, 256, 1_000, 5))},
        minutes=(1, 120, 2000), metric=TRIAL, smoke=(0, 5, 6)),
    Item("rl2/choices", "Which arm is pulled",
        "100 pulls of 10 arms, in 1,000 worlds: the share of pulls of the best arm in the last tenth of the trial. The "
        "figure shows the share of each arm at each pull, with the best arm at the top.",
        arms, {**BY_WAY, "place": SHOWN, "watched": WATCHED,
               "budget": [budgets[place] for budgets, place in zip(OF_BANDIT, SHOWN, strict=True)]},
        minutes=(1, 25, 2000), metric=BEST, draw=draw_choices, runs="rl2/bandits"),
    Item("rl2/imitation", "A network that imitates Gittins (section 3.1)",
        "100 pulls of 10 arms. The return of the imitating network shows that RL² is limited by its training, not by the "
        "network.",
        imitation, {"place": SHOWN, "watched": WATCHED,
                    "budget": (Budget(8, 16, 4, 2), Budget(128, 64, 10_000, 3), Budget(256, 256, 20_000, 5))},
        minutes=(1, 15, 600), metric=TRIAL),
    Item("rl2/navigation", "Mazes that are seen from within: the length of an episode (table 3)",
        "The steps of the episodes in which the target was found, in mazes of 5 × 5 that were not trained on. RL² was "
        "trained on trials of two episodes by PPO. Steps go from cell to cell, and turns are quarters. The paper, with "
        "about five times as many steps: 52.4, 39.1, 42.6, 43.5, 43.9. Scripted players see the maze: one keeps the wall "
        "on its left; one goes the shortest way; one does so once the first episode has shown the target.",
        by_episode, IN_SMALL, metric=LENGTH, across=draw_grid, smoke=(0, 1, 5), **NAVIGATION),
    Item("rl2/navigation-success", "The same: the share of episodes in which the target is found (table 3)",
        "The paper: 99.3 to 99.7 %.", by_episode, IN_SMALL, metric=SUCCESS, across=draw_grid, smoke=(0, 1, 5),
        **NAVIGATION),
    Item("rl2/navigation-improved", "The same: the share of trials whose second episode is shorter (table 3)",
        "The paper: 91.7 %.", shorter, IN_SMALL, metric=SHORTER, smoke=(0, 1), **NAVIGATION),
    Item("rl2/navigation-far", "Larger mazes than those of training: the length of an episode (table 3)",
        "The agent of 5 × 5 mazes in mazes of 9 × 9, with four times the horizon. The paper: 180.1, 151.8, 169.3, 162.3, "
        "169.3.", by_episode, IN_LARGE, metric=LENGTH, across=draw_grid, smoke=(0, 1, 5), **NAVIGATION),
    Item("rl2/navigation-far-success", "Larger mazes: the share of episodes in which the target is found (table 3)",
        "The paper: 95.6 to 97.1 %.", by_episode, IN_LARGE, metric=SUCCESS, across=draw_grid, smoke=(0, 1, 5),
        **NAVIGATION),
    Item("rl2/navigation-far-improved", "Larger mazes: the share of trials whose second episode is shorter (table 3)",
        "The paper: 71.4 %.", shorter, IN_LARGE, metric=SHORTER, smoke=(0, 1), **NAVIGATION),
    Item("rl2/navigation-curves", "Learning to find a target in mazes (fig. 5)",
        "The return of a trial of two episodes during training.", navigation_curves, TRAINING, metric=RETURN,
        **NAVIGATION),
    Item("rl2/navigation-ways", "Ways through mazes (fig. 6)",
        "The two episodes of a trial in three mazes that were not trained on, the first ones of the test, by the first "
        "seed. The circle is the start; the dark block is the target. The table has the steps of the second episode.",
        ways, {**TRAINING, "worlds": (2, 4, 4)}, metric=LENGTH, draw=draw_ways, **NAVIGATION),
]
