"""Archives of scenarios: the art, a player who walks, further rules, and a map."""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Int

from farback.envs.doom.art import WALLS, art
from farback.envs.doom.wad import BLOCK, between, udmf, wad

PLAYER = 1
"""The type of the thing of a map where the player begins."""
WALKER = f"""
actor Walker : PlayerPawn {{
  Player.DisplayName "Walker" Player.MaxHealth 100 Player.ViewHeight {BLOCK // 2} Player.ForwardMove 0.55, 0.55
  Radius 13 Height 48 ReactionTime 0 +NOBLOOD
  States {{
  Spawn: PLAY A 0 NoDelay Thing_ChangeTID(0, 1000)
    PLAY A -1
    Stop
  See: PLAY A 4
    Goto Spawn
  Pain: PLAY A 1
    Goto Spawn
  Death: PLAY A -1
    Stop
  }}
}}"""
"""The player, in DECORATE, the language of the engine for things. It bears the number 1000."""


def level(
    grid: Int[np.ndarray, "rows columns"], things: Iterable[tuple[int, float, float, int]]
) -> list[tuple[str, bytes]]:
    """The lumps of a map; see `udmf`."""
    return [("MAP01", b""), ("TEXTMAP", udmf(grid, WALLS, things).encode()), ("ENDMAP", b"")]


def archive(
    rules: Iterable[str], types: Mapping[int, str], sprites: Mapping[str, bytes], lumps: Iterable[tuple[str, bytes]]
) -> bytes:
    """The archive of a scenario.

    **Arguments:**

    - `rules`: the things of the scenario, in DECORATE.
    - `types`: the names of the things that a map may have, by their types.
    - `sprites`: the pictures of sprites, by the names of their lumps.
    - `lumps`: the lumps of the map.
    """
    numbers = " ".join(f"{number} = {name}" for number, name in types.items())
    info = f'gameinfo {{ playerclasses = "Walker" }}\nDoomEdNums {{ {numbers} }}\nmap MAP01 "" {{ }}'
    parts = [("DECORATE", "\n".join([WALKER, *rules]).encode()), ("ZMAPINFO", info.encode()), *lumps]
    return wad([*art(), *between("S_START", "S_END", sprites), *parts])
