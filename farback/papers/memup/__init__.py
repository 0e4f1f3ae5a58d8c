"""MemUP: Explain my surprise; Sorokin et al., NeurIPS 2022."""

from functools import partial

from farback.papers.engine.finals import root, updates_below
from farback.papers.engine.item import ACCURACY, LENGTH, RETURN, SQUARED_ERROR, Item, Metric
from farback.papers.memup.colors import Effort as ColorsEffort
from farback.papers.memup.colors import colors
from farback.papers.memup.limits import COSTS, LONGEST, costs, longest
from farback.papers.memup.mazes import ERROR, PREDICTED, ablation, distractors, mazes, solved
from farback.papers.memup.supervised import SHARE, adding, by_length, pixels, scattered_copy, signalled_copy
from farback.reports.grid import draw_grid

TITLE = "MemUP: memory trained on surprises"

# fmt: off
SUPERVISED = (
    "MemUP with gradients through 10 steps (20 in episodes of a thousand steps or more), against backpropagation through "
    "whole episodes and through as many steps as MemUP stores. All are trained on the same number of episodes, except the "
    f"transformer, which is trained on one in {SHARE}. Columns: the steps of an episode. Entries: the mean of 3 seeds ± "
    "half of its 95 % interval."
)
CONTEXT = " MemUP's context is an untrained LSTM that counts the signals, with gates for a memory as long as an episode."
LONG = " LSTMs start with gates for a memory as long as an episode. `--scale laptop` has no transformer."
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

COLORS = (ColorsEffort(4, 2, 4, 16, 16_384, 2_048, 2, 1, 8), ColorsEffort(64, 24, 256, 128, 3_000_000, 300_000, 32, 5, 100),
          ColorsEffort(256, 300, 256, 1050, 10_000_000, 10_000_000, 200, 5, 100))

ITEMS = [
    Item("memup/tmaze", "T-maze LNR-1000 (fig. 4a)",
        "The observation of the first step is needed 1,000 to 1,010 steps later. MemUP trains a memory on random actions, "
        "with gradients of a single step; then a policy of two layers reads it. The baselines train a policy and a memory "
        "of 64 units together, on as many steps as MemUP trains its memory; `--scale paper` adds a gated transformer. "
        "Turning at random returns 0.5.",
        mazes, {"corridor": (6, 1000, 1000), "window": (1, 1, 1), "units": (8, 128, 256), "batch": (8, 64, 64),
         "seeds": (1, 5, 10), "passes": (2, 40, 300), "copies": (4, 32, 64), "rollouts": (2, 60, 200),
         "rivals": ((), ("LSTM", "AMRL"), ("LSTM", "AMRL", "transformer"))}, minutes=(1, 20, 600), metric=RETURN,
        levels=CHANCE),
    Item("memup/tmaze-long", "T-maze LNR-20000",
        "The same maze, twenty times as long, again with gradients of a single step.",
        solved, {"corridor": (8, 20_000, 20_000), "window": (4, 1, 1), "units": (8, 64, 256), "batch": (8, 32, 64),
         "seeds": (1, 3, 5), "passes": (2, 60, 100), "copies": (4, 16, 32), "rollouts": (2, 40, 100)},
        minutes=(1, 20, 1200), metric=RETURN, levels=CHANCE),
    Item("memup/two-colors", "Two-Colors (fig. 4b)",
        "The steps that a policy survives, at most 1,050; without a thing it is 100. A column shows for the first 45 steps "
        "which of two colours heals. MemUP trains a memory on random play, with gradients of a single step, three targets "
        "and γ = 0.8; then a policy reads it. By the returns of QR-DQN: the surprise is the spread of the returns that a "
        "QR-DQN without memory expects, otherwise the prediction error. PPO trains the rivals, on as many steps as MemUP "
        "and PPO have together. `--scale paper` is in ViZDoom.",
        colors, {"world": ("TwoColors()", "TwoColors()", "Doom('two-colors')"), "effort": COLORS},
        minutes=(2, 240, 3000), metric=LENGTH, levels={"optimum": 1050.0}, smoke=(0, 2, 3)),
    *(
        Item(f"memup/{name}{suffix}", f"{title}{far} (fig. 2)", SUPERVISED + text + of_length,
            partial(by_length, problem), {"lengths": lengths, **effort}, minutes=(1, minutes, 3000), metric=metric,
            levels=levels, smoke=(0, 1), across=draw_grid)
        for suffix, far, of_length, lengths, minutes in LENGTHS
        for name, title, text, problem, effort, metric, levels in TASKS
    ),
    Item("memup/pixels", "Permuted pixels, one at a time (fig. 2)",
        SUPERVISED + " Here MemUP's gradients pass through 30 steps (60 in images of a thousand pixels or more). The "
        "accuracy on test images: MNIST if `data/mnist` has it, otherwise scikit-learn's digits, three times as wide and "
        "high: 576 steps.",
        pixels, {"enlarged": (((1,), (1,)), ((1,), (3,)), ((1, 2), (3, 7))), **PIXELS}, minutes=(1, 120, 3000),
        metric=ACCURACY, levels={"guess": 1 / 10}, smoke=(0, 1), across=draw_grid),
    Item("memup/longest", "The longest corridor mastered",
        "The corridor of the T-maze LNR doubles as long as all of five seeds reach 95 % of the way from the memoryless "
        "score to the optimum, within ten minutes per length. Either a memory learns to predict the rewards of random "
        "actions, by MemUP with windows of one step or by backpropagation through whole episodes, or an agent learns to "
        "act. Cells have 64 units and their default initialisation, except the LRU, whose λ start in a ring near 1. "
        "`farback certify` does this with any task, cell, estimator and agent.",
        longest, {"size": (2, 16, 16), "minutes": (0.0005, 10, 60), "seeds": (2, 5, 5)}, minutes=(1, 200, 1500),
        metric=LONGEST, smoke=(0,), across=draw_grid),
    Item("memup/ablation", "Choice of targets (fig. 6)",
        "The root mean square error at the last step of 100 episodes or more; without memory it is 3.5. Columns: the "
        "steps that gradients pass through. Rows: the target, in corridors of 100 and of 1,000: the most surprising later "
        "step (MemUP), a random later step (Rnd-Pred), or none but the present (Default). The number of episode steps is "
        "limited, so long windows make fewer updates: in corridors of 1,000, windows of 1 make 200,000 updates and "
        "windows of 100 make 17,000.",
        ablation,
        {"batches": ({6: {1: 4}}, {100: dict.fromkeys(WINDOWS, 32), 1000: {1: 32, 5: 32, 10: 16, 50: 8, 100: 8}},
                     {corridor: dict.fromkeys(WINDOWS, 64) for corridor in (100, 1000)}),
         "units": (4, 32, 256), "seeds": (2, 6, 6), "updates": (3, 200, 300), "steps": (64, 12_800_000, 2_000_000_000)},
        minutes=(1, 90, 3000), metric=Metric(ERROR, "RMSE"), levels={"without memory": 3.5}, smoke=(0,), final=root,
        across=draw_grid),
    Item("memup/distractors", "Unpredictable distractors (fig. 5)",
        "Updates until the root mean square error of the predictable reward is below 0.1, in corridors of 100. Columns: "
        "the number of steps with random rewards. Rows: the number of targets. A seed that never reaches 0.1 counts with "
        "all its updates. An update covers one step of 2,048 episodes.",
        distractors,
        {"counts": ((1,), MANY, MANY), "targets": ((1,), FEW, FEW), "units": (4, 32, 256), "batch": (4, 2048, 2048),
         "seeds": (2, 6, 6), "updates": (200, 4_000, 45_000), "rate": (5e-3, 5e-3, 1e-3)}, minutes=(1, 90, 3000),
        metric=Metric(ERROR, "updates"), final=updates_below(PREDICTED, 100), across=draw_grid),
    *(
        Item(f"memup/{name}", title,
            "A pass through a batch of episodes of the T-maze LNR with an LSTM. Columns: the corridor. States are the "
            "memory states that an update stores, those of the targets included. Megabytes are the memory of the compiled "
            "program of a pass: the episodes and their targets are included, the network and the log are not. Times are "
            "in microseconds.",
            costs,
            {"corridors": ((6,), (100, 1000, 20_000), (100, 1000, 20_000)), "units": (4, 128, 256), "batch": (4, 16, 64)},
            minutes=(1, 5, 30), metric=metric, across=draw_grid, runs="" if name == "cost" else "memup/cost")
        for name, title, metric in zip(
            ("cost", "cost-memory", "cost-time"),
            ("States stored for an update", "Memory of a pass", "Time per step of an episode"), COSTS, strict=True)
    ),
]
