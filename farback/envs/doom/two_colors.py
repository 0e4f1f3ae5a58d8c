"""`TwoColors` as a scenario of Doom, by rules in DECORATE, the language of the engine for things."""

import functools

import numpy as np

from farback.envs.doom.archives import PLAYER, archive, level
from farback.envs.doom.art import sprite
from farback.envs.doom.wad import BLOCK
from farback.envs.raycast.textures import COLUMN, GREEN, RED
from farback.envs.raycast.two_colors import COLUMN_AT, HEADINGS, ITEMS, MOVES, SIDE, START, TwoColors

TICS = 4
"""The tics of a step."""
LEVEL = 20001
"""The type of the thing that makes all others."""
SIZE = 0.35
"""The size of a thing, in blocks."""
BUTTONS = ("TURN_LEFT_RIGHT_DELTA", "MOVE_FORWARD")
ACTIONS = tuple((turn * 360 / HEADINGS / TICS, forward) for turn, forward in MOVES)
"""The values of the buttons, for each of the tics."""

ACID = f"""
actor Acid {{
  +NOINTERACTION
  States {{
  Spawn: TNT1 A {TICS}
    TNT1 A 0 Thing_Damage(1000, 1, 0)
    Loop
  }}
}}"""


def _thing(colour: str, heals: bool) -> str:
    """A thing of a colour. It is counted as an item if it heals, and as a secret if it hurts."""
    name = _name(colour, heals)
    counted, effect = ("COUNTITEM", "HealThing(25, 100)") if heals else ("COUNTSECRET", "DamageThing(25)")
    return f"""
actor {name} : CustomInventory {{
  Radius 13 Height 16 +{counted} +INVENTORY.ALWAYSPICKUP Inventory.PickupMessage "" Inventory.PickupSound ""
  States {{
  Spawn: {colour[0]}BAL A -1 bright
    Stop
  Pickup: TNT1 A 0 {effect}
    TNT1 A 0 {_somewhere(name)}
    Stop
  }}
}}"""


def _name(colour: str, heals: bool) -> str:
    return colour + ("Bad", "Good")[heals]


def _at(name: str, x: str, y: str) -> str:
    return f'A_SpawnItemEx("{name}", {x} - x, {y} - y, 0 - z, 0, 0, 0, 0, SXF_ABSOLUTEPOSITION | SXF_NOCHECKPOSITION)'


def _somewhere(name: str) -> str:
    low, high = round(1.5 * BLOCK), round((SIDE + 0.5) * BLOCK)
    return _at(name, f"random({low}, {high})", f"(0 - random({low}, {high}))")


def _column(colour: str, shown: int) -> str:
    return f"""
actor {colour}Column {{
  +NOINTERACTION
  States {{
  Spawn: {colour[0]}COL A {TICS * shown} bright
    Stop
  }}
}}"""


def _level() -> str:
    """Makes the acid, the column and the things, with a random healing colour."""

    def made(healing: str, other: str) -> str:
        column, row = (str(round(BLOCK * place)) for place in COLUMN_AT)
        shows = _at(f"{healing}Column", column, f"(0 - {row})")
        things = [_somewhere(_name(colour, colour == healing)) for colour in (healing, other) for _ in range(ITEMS)]
        return "\n".join(f"    TNT1 A 0 {one}" for one in (shows, *things)) + "\n    Stop"

    return f"""
actor Level {{
  +NOINTERACTION
  States {{
  Spawn: TNT1 A 0 NoDelay A_SpawnItemEx("Acid")
    TNT1 A 0 A_Jump(128, "Green")
{made("Red", "Green")}
  Green:
{made("Green", "Red")}
  }}
}}"""


@functools.cache
def two_colors(env: TwoColors) -> bytes:
    """The archive of the scenario."""
    colours = {"Red": RED, "Green": GREEN}
    sprites = {f"{colour[0]}BALA0": sprite(kind, SIZE) for colour, kind in colours.items()}
    sprites |= {f"{colour[0]}COLA0": sprite(COLUMN + kind, 1.0) for colour, kind in colours.items()}
    rules = [ACID, _level(), *(_column(colour, env.shown) for colour in colours)]
    rules += [_thing(colour, heals) for colour in colours for heals in (True, False)]
    room = np.pad(np.zeros((SIDE, SIDE), int), 1, constant_values=5)
    things = [(PLAYER, *START, -360 // 8 % 360), (LEVEL, 6, 6, 0)]
    return archive(rules, {LEVEL: "Level"}, sprites, level(room, things))
