"""MemUP: Explain my surprise; Sorokin et al., NeurIPS 2022."""

from engram.papers.costs import MEGABYTES, MICROSECONDS, STATES, costs
from engram.papers.item import RETURN, Item, Unit
from engram.papers.longest import LONGEST, longest
from engram.papers.mazes import ERROR, LONG, RMSE, TOLD, ablation, distractors, mazes, solved, updates_to
from engram.papers.supervised import HUNDREDS, SUPERVISED, THOUSANDS, adding, pixels, scattered_copy, signalled_copy
from engram.reports.grid import draw_grid

TITLE = "MemUP: memory trained on surprises"

COPIES = "charts/accuracy", "accuracy", {"optimum": 1.0, "guess": 1 / 8}
SUMS = "charts/squared_error", "squared error", {"optimum": 0.0, "the answer 1": 1 / 6}
READ = (
    " Which of the signals it is, MemUP reads from an LSTM that stays as it was drawn, with gates to hold for as long as "
    "an episode."
)
TASKS = (
    ("copy", "Copy, each answer at a signal", "", signalled_copy, *COPIES),
    ("scattered-copy", "Copy at any time", READ, scattered_copy, *COPIES),
    ("adding", "Adding", "", adding, *SUMS),
)
BEGIN = " LSTMs begin with gates to hold for as long as an episode. At the scale of a laptop, without a transformer."
LENGTHS = (("", "", "", HUNDREDS, 120), ("-long", ", over a thousand steps", BEGIN, THOUSANDS, 60))

ITEMS = [
    Item(
        "memup/tmaze",
        "T-maze LNR-1000 (fig. 4a)",
        "What is seen in the first step is wanted after 1,000 to 1,010 more. A memory is trained by MemUP with gradients "
        "of a single step, in random play, and then a policy of two layers is shown what it holds; beside it, policies "
        "that learn to remember with 64 units, in as many steps as the memory; at the scale of the paper, a gated "
        "transformer among them. Who goes up or down by chance has 0.5.",
        mazes,
        {"smoke": 1, "laptop": 20, "paper": 600},
        RETURN,
        Unit("return"),
        {"optimum": 4.0, "chance": 0.5},
    ),
    Item(
        "memup/tmaze-long",
        "T-maze LNR-20000",
        "The same, twenty times as long, and again with gradients of a single step.",
        lambda scale: [solved(f"MemUP and PPO, window {LONG[scale].window}", *LONG[scale])],
        {"smoke": 1, "laptop": 20, "paper": 1200},
        RETURN,
        Unit("return"),
        {"optimum": 4.0, "chance": 0.5},
    ),
    *(
        Item(
            f"memup/{name}{long}",
            f"{title}{far} (fig. 2)",
            SUPERVISED + said + begin,
            lambda scale, cases=cases, lengths=lengths: cases(scale, lengths[scale]),
            {"smoke": 1, "laptop": minutes, "paper": 3000},
            metric,
            Unit(unit),
            levels,
            across=draw_grid,
        )
        for long, far, begin, lengths, minutes in LENGTHS
        for name, title, said, cases, metric, unit, levels in TASKS
    ),
    Item(
        "memup/pixels",
        "Permuted pixels, one at a time (fig. 2)",
        SUPERVISED + " Here MemUP's pass through 30 steps, 60 in images of thousands. Accuracy is that on images held out: "
        "MNIST where data/mnist has it; otherwise scikit-learn's digits, three times as wide and high: 576 steps.",
        pixels,
        {"smoke": 1, "laptop": 120, "paper": 3000},
        "charts/accuracy",
        Unit("accuracy"),
        {"guess": 1 / 10},
        across=draw_grid,
    ),
    Item(
        "memup/longest",
        "The longest corridor mastered",
        "Of the T-maze LNR, doubled until not all of five seeds come to 95 % of the way from no memory to the optimum, in "
        "ten minutes for each length: a memory that tells what comes of random play, by MemUP with windows of one step or "
        "by backpropagation through episodes, or an agent. Cells have 64 units and are as they are by default, but for the "
        "LRU, whose λ begin in a ring near 1. `engram certify` does so with any task, cell, estimator and agent.",
        longest,
        {"smoke": 1, "laptop": 200, "paper": 1500},
        LONGEST,
        Unit("steps"),
        {},
        across=draw_grid,
    ),
    Item(
        "memup/ablation",
        "What is asked (fig. 6)",
        "By the steps that gradients pass through, in corridors of 100 and of 1,000: asked about the most surprising step "
        "to come, about any of them (Rnd-Pred), and about none but the present (Default). The error at the last step of "
        "100 episodes or more, as its root mean square; who cannot remember has 3.5. All windows go through as many steps "
        "of episodes, or less, so that long ones have fewer updates: in corridors of 1,000 there are 200,000 with windows "
        "of 1, and 17,000 with those of 100.",
        ablation,
        {"smoke": 1, "laptop": 90, "paper": 3000},
        RMSE,
        Unit("RMSE"),
        {"without memory": 3.5},
        across=draw_grid,
    ),
    Item(
        "memup/distractors",
        "Surprises that nobody can tell (fig. 5)",
        "Updates until the error at the step that can be told is below 0.1, as its root mean square, in corridors of 100, "
        "by how many steps are rewarded at random, and by how many are asked about. Seeds that never get there count with "
        "all their updates. An update is of one step of 2,048 episodes.",
        distractors,
        {"smoke": 1, "laptop": 90, "paper": 3000},
        ERROR,
        Unit("updates"),
        {},
        final=updates_to(TOLD, 100),
        across=draw_grid,
    ),
    *(
        Item(
            f"memup/{name}",
            title,
            "A pass through a batch of episodes of the T-maze LNR, by corridor, with an LSTM. States are those of the "
            "memory that an update holds, and the steps that are asked about; megabytes are what the compiled program of a "
            "pass needs beside the model and the log, with the episodes and what is chosen in them.",
            costs,
            {"smoke": 1, "laptop": 5, "paper": 30},
            metric,
            Unit(unit),
            {},
            across=draw_grid,
            runs="" if name == "cost" else "memup/cost",
        )
        for name, title, metric, unit in (
            ("cost", "States stored for an update", STATES, "states"),
            ("cost-memory", "Memory of a pass", MEGABYTES, "megabytes"),
            ("cost-time", "Time of a step of an episode", MICROSECONDS, "microseconds"),
        )
    ),
]
