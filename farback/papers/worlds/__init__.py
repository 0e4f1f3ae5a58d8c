"""Worlds that are seen from within; not a paper."""

from farback.papers.engine.item import LENGTH, RETURN, Item
from farback.papers.worlds.past import past
from farback.papers.worlds.twins import ENGINES, Effort, twins
from farback.papers.worlds.views import draw_views, views
from farback.reports.grid import draw_grid

TITLE = "Worlds that are seen from within"

# fmt: off
ITEMS = [
    Item("worlds/views", "What the worlds look like",
        "The return of a scripted player, which sees the state of the world, and of random play, in five groups of "
        "episodes. In mazes, the scripted player takes shortest ways; in Watermaze, it swims straight to the platform; in "
        "TwoColors, it goes for the nearest thing that heals; in TakeCover, it keeps away from where fireballs arrive. The "
        "figure shows every fourth step of the scripted player, and a map.",
        views, {"episodes": (4, 200, 200)}, minutes=(1, 2, 2), metric=RETURN, draw=draw_views),
    Item("worlds/twins", "Agents of the ray-caster in ViZDoom",
        "The return of PPO with a GRU that was trained in the ray-caster, on worlds that it was not trained on, in the "
        "ray-caster and in the twin of ViZDoom; and that of random play. The twin of Maze has the same rules and another "
        "light; that of TwoColors has the engine's inertia; that of TakeCover is ViZDoom's own scenario.",
        twins, {"worlds": (("TwoColors",), tuple(ENGINES), tuple(ENGINES)),
                "effort": (Effort(4, 8_192, 1, 2), Effort(64, 1_000_000, 5, 64), Effort(256, 10_000_000, 5, 256))},
        minutes=(2, 60, 600), metric=RETURN, across=draw_grid),
    Item("worlds/past", "What was seen far outside of the window",
        "The steps survived in TwoColors, at most 1,050, after 10 minutes of training for each seed on this machine. "
        "What matters is seen in the first 45 steps alone. Rows: the memory, and the steps that gradients pass "
        "through or that attention reaches. MemUP trains its memory on random play for half of the time; PPO trains "
        "everything else.",
        past, {"units": (4, 64, 64), "batch": (4, 256, 256), "minutes": (0.001, 10, 60), "seeds": (1, 5, 5),
               "episodes": (8, 100, 100)},
        minutes=(2, 260, 1600), metric=LENGTH, levels={"optimum": 1050.0, "without things": 100.0}, smoke=(0, 3)),
]
