"""MemUP: Explain my surprise; Sorokin et al., NeurIPS 2022."""

from functools import partial

from farback.papers.engine.finals import root, updates_below
from farback.papers.engine.item import ACCURACY, RETURN, SQUARED_ERROR, Item, Metric
from farback.papers.memup.limits import COSTS, LONGEST, costs, longest
from farback.papers.memup.mazes import ERROR, PREDICTED, ablation, distractors, mazes, solved
from farback.papers.memup.supervised import SHARE, adding, by_length, pixels, scattered_copy, signalled_copy
from farback.reports.grid import draw_grid

TITLE = "MemUP: memory trained on surprises"

# fmt: off
SUPERVISED = (
    "MemUP with gradients through 10 steps, or 20 where episodes have a thousand; beside it backpropagation through whole "
    "episodes, and through as many steps as MemUP stores. All learn from equally many episodes, but for the transformer, "
    f"which learns from one in {SHARE}. By the steps of an episode, the mean of 3 seeds and half of its 95 % interval."
)
CONTEXT = " MemUP counts the signals by an untrained LSTM, with gates for a memory as long as an episode."
LONG = " LSTMs begin with gates for a memory as long as an episode. The scale of a laptop has no transformer."
EFFORT = {"thrifty": (False, True, False), "units": (8, 64, 128), "layers": (1, 2, 4), "seeds": (1, 3, 3)}
COPYING = {**EFFORT, "batch": (4, 16, 128), "passes": (2, 8_000, 20_000), "rate": (1e-3, 2e-3, 1e-3)}
ADDING = {**EFFORT, "batch": (4, 128, 128), "passes": (2, 500, 20_000), "rate": (1e-3, 1e-3, 1e-3)}
PIXELS = {**EFFORT, "batch": (4, 32, 128), "passes": (2, 2_000, 20_000), "rate": (1e-3, 3e-3, 1e-3)}
COPIED, SUMMED = {"optimum": 1.0, "guess": 1 / 8}, {"optimum": 0.0, "the answer 1": 1 / 6}
TASKS = (
    ("copy", "Copy, each answer at a signal", "", signalled_copy, COPYING, ACCURACY, COPIED),
    ("scattered-copy", "Copy at any time", CONTEXT, scattered_copy, COPYING, ACCURACY, COPIED),
    ("adding", "Adding", "", adding, ADDING, SQUARED_ERROR, SUMMED),
)
LENGTHS = (
    ("", "", "", ((32,), (120, 520), (120, 520)), 120),
    ("-long", ", over a thousand steps", LONG, ((44,), (1020,), (1020, 5020)), 60),
)
"""Suffixes of name, title and text; the steps of episodes at every scale; the minutes on a laptop."""
WINDOWS, MANY, FEW = (1, 5, 10, 50, 100), (1, 4, 9, 14, 19), (1, 2, 3, 4, 5)
CHANCE = {"optimum": 4.0, "chance": 0.5}

ITEMS = [
    Item("memup/tmaze", "T-maze LNR-1000 (fig. 4a)",
        "The observation of the first step is needed 1,000 to 1,010 steps later. MemUP trains a memory on random actions, "
        "with gradients of a single step; then a policy of two layers observes it. Beside it are policies with memories "
        "of 64 units that are trained with them, in as many steps as MemUP's; at the scale of the paper, a gated "
        "transformer among them. Turning at random returns 0.5.",
        mazes, {"corridor": (6, 1000, 1000), "window": (1, 1, 1), "units": (8, 128, 256), "batch": (8, 64, 64),
         "seeds": (1, 5, 10), "passes": (2, 40, 300), "copies": (4, 32, 64), "rollouts": (2, 60, 200),
         "rivals": ((), ("LSTM", "AMRL"), ("LSTM", "AMRL", "transformer"))}, minutes=(1, 20, 600), metric=RETURN,
        levels=CHANCE),
    Item("memup/tmaze-long", "T-maze LNR-20000",
        "The same, twenty times as long, and again with gradients of a single step.",
        solved, {"corridor": (8, 20_000, 20_000), "window": (4, 1, 1), "units": (8, 64, 256), "batch": (8, 32, 64),
         "seeds": (1, 3, 5), "passes": (2, 60, 100), "copies": (4, 16, 32), "rollouts": (2, 40, 100)},
        minutes=(1, 20, 1200), metric=RETURN, levels=CHANCE),
    *(
        Item(f"memup/{name}{suffix}", f"{title}{far} (fig. 2)", SUPERVISED + text + of_length,
            partial(by_length, problem), {"lengths": lengths, **effort}, minutes=(1, minutes, 3000), metric=metric,
            levels=levels, smoke=(0, 1), across=draw_grid)
        for suffix, far, of_length, lengths, minutes in LENGTHS
        for name, title, text, problem, effort, metric, levels in TASKS
    ),
    Item("memup/pixels", "Permuted pixels, one at a time (fig. 2)",
        SUPERVISED + " Here MemUP's gradients pass through 30 steps, or 60 in images of thousands. The accuracy on test "
        "images: MNIST where `data/mnist` has it; else scikit-learn's digits, three times as wide and high: 576 steps.",
        pixels, {"enlarged": (((1,), (1,)), ((1,), (3,)), ((1, 2), (3, 7))), **PIXELS}, minutes=(1, 120, 3000),
        metric=ACCURACY, levels={"guess": 1 / 10}, smoke=(0, 1), across=draw_grid),
    Item("memup/longest", "The longest corridor mastered",
        "The corridor of the T-maze LNR is doubled until not all of five seeds reach 95 % of the way from no memory to "
        "the optimum, in ten minutes for each length: for a memory that predicts the rewards of random actions, by MemUP "
        "with windows of one step or by backpropagation through episodes, or for an agent. Cells have 64 units and their "
        "default initialisation, but for the LRU, whose λ begin in a ring near 1. `farback certify` does so with any "
        "task, cell, estimator and agent.",
        longest, {"size": (2, 16, 16), "minutes": (0.0005, 10, 60), "seeds": (2, 5, 5)}, minutes=(1, 200, 1500),
        metric=LONGEST, smoke=(0,), across=draw_grid),
    Item("memup/ablation", "Choice of targets (fig. 6)",
        "By the steps that gradients pass through, in corridors of 100 and of 1,000: the target is the most surprising "
        "later step, any later step (Rnd-Pred), or none but the present (Default). The root mean square error at the last "
        "step of 100 episodes or more; without memory it is 3.5. All windows have equally many steps of episodes, or "
        "fewer, so that long ones have fewer updates: in corridors of 1,000 there are 200,000 with windows of 1, and "
        "17,000 with those of 100.",
        ablation,
        {"batches": ({6: {1: 4}}, {100: dict.fromkeys(WINDOWS, 32), 1000: {1: 32, 5: 32, 10: 16, 50: 8, 100: 8}},
                     {corridor: dict.fromkeys(WINDOWS, 64) for corridor in (100, 1000)}),
         "units": (4, 32, 256), "seeds": (2, 6, 6), "updates": (3, 200, 300), "steps": (64, 12_800_000, 2_000_000_000)},
        minutes=(1, 90, 3000), metric=Metric(ERROR, "RMSE"), levels={"without memory": 3.5}, smoke=(0,), final=root,
        across=draw_grid),
    Item("memup/distractors", "Unpredictable distractors (fig. 5)",
        "Updates until the root mean square error of the predictable reward is below 0.1, in corridors of 100, by the "
        "number of steps with random rewards, and by the number of targets. Seeds that never get there count with all "
        "their updates. An update is of one step of 2,048 episodes.",
        distractors,
        {"counts": ((1,), MANY, MANY), "targets": ((1,), FEW, FEW), "units": (4, 32, 256), "batch": (4, 2048, 2048),
         "seeds": (2, 6, 6), "updates": (200, 4_000, 45_000), "rate": (5e-3, 5e-3, 1e-3)}, minutes=(1, 90, 3000),
        metric=Metric(ERROR, "updates"), final=updates_below(PREDICTED, 100), across=draw_grid),
    *(
        Item(f"memup/{name}", title,
            "A pass through a batch of episodes of the T-maze LNR, by corridor, with an LSTM. States are those of the "
            "memory that an update stores, and those of the targets. Megabytes are what the compiled program of a pass "
            "needs beside the network and the log, with the episodes and their targets.",
            costs,
            {"corridors": ((6,), (100, 1000, 20_000), (100, 1000, 20_000)), "units": (4, 128, 256), "batch": (4, 16, 64)},
            minutes=(1, 5, 30), metric=metric, across=draw_grid, runs="" if name == "cost" else "memup/cost")
        for name, title, metric in zip(
            ("cost", "cost-memory", "cost-time"),
            ("States stored for an update", "Memory of a pass", "Time of a step of an episode"), COSTS, strict=True)
    ),
]
