"""Worlds that are seen from within; not a paper."""

from farback.papers.engine.item import RETURN, Item
from farback.papers.worlds.views import draw_views, views

TITLE = "Worlds that are seen from within"

# fmt: off
ITEMS = [
    Item("worlds/views", "What the worlds look like",
        "The return of a scripted player, which sees the state of the world, and of random play, in five groups of "
        "episodes. In mazes, the scripted player takes shortest ways; in Watermaze, it swims straight to the platform; in "
        "TwoColors, it goes for the nearest thing that heals; in TakeCover, it keeps away from where fireballs arrive. The "
        "figure shows every fourth step of the scripted player, and a map.",
        views, {"episodes": (4, 200, 200)}, minutes=(1, 2, 2), metric=RETURN, draw=draw_views),
]
