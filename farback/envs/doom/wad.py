"""WAD files, the archives that Doom's engines read, with maps in the text format UDMF."""

import struct
import zlib
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Int, UInt8

BLOCK = 64
"""The units of the engine along the side of a block, and between floor and ceiling."""


def wad(lumps: Iterable[tuple[str, bytes]]) -> bytes:
    """The archive of named lumps, in their order. Names have at most 8 characters."""
    body, entries, start = [], [], 12
    for name, data in lumps:
        entries.append(struct.pack("<ii8s", start, len(data), name.encode("ascii")))
        body.append(data)
        start += len(data)
    return struct.pack("<4sii", b"PWAD", len(entries), start) + b"".join(body) + b"".join(entries)


def png(image: UInt8[np.ndarray, "height width channels"], foot: tuple[int, int] | None = None) -> bytes:
    """An image in red, green and blue, with or without alpha.

    **Arguments:**

    - `foot`: for a sprite, the column and the row of its pixel that stands at its place.
    """
    height, width, channels = image.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, {3: 2, 4: 6}[channels], 0, 0, 0)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)
    parts = [chunk(b"IHDR", header)]
    if foot is not None:
        parts.append(chunk(b"grAb", struct.pack(">ii", *foot)))
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, chunk(b"IDAT", zlib.compress(rows.tobytes())), chunk(b"IEND", b"")])


def between(start: str, end: str, images: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """Lumps between two markers, such as `TX_START` and `TX_END` for textures."""
    return [(start, b""), *images.items(), (end, b"")]


def udmf(
    grid: Int[np.ndarray, "rows columns"], walls: Mapping[int, str], things: Iterable[tuple[int, float, float, int]]
) -> str:
    """The map of a grid of blocks. The row r begins at y = −64 r, so that north is up.

    **Arguments:**

    - `grid`: 0 where a block is free, and otherwise the number of a texture. Its border is not free.
    - `walls`: the name of each texture.
    - `things`: the type, the column and the row in blocks, and the angle in degrees of each thing.
    """
    vertices: dict[tuple[int, int], int] = {}
    lines = []
    for row, column in np.argwhere(grid == 0).tolist():
        below, right = row + 1, column + 1
        corners = (row, column), (row, right), (below, right), (below, column)  # clockwise from the north-west
        beyond = (row - 1, column), (row, column + 1), (row + 1, column), (row, column - 1)
        for side, block in enumerate(beyond):
            if (texture := int(grid[block])) > 0:
                ends = [vertices.setdefault(corners[at], len(vertices)) for at in (side, (side + 1) % 4)]
                lines.append((*ends, walls[texture]))
    parts = ['namespace="zdoom";']
    parts += [
        f"thing{{type={kind};x={BLOCK * column:g};y={-BLOCK * row:g};angle={angle};skill1=true;skill2=true;skill3=true;"
        f"skill4=true;skill5=true;single=true;}}"
        for kind, column, row, angle in things
    ]
    parts += [f"vertex{{x={BLOCK * column};y={-BLOCK * row};}}" for row, column in vertices]
    parts += [f"linedef{{v1={v1};v2={v2};sidefront={n};blocking=true;}}" for n, (v1, v2, _) in enumerate(lines)]
    parts += [f'sidedef{{sector=0;texturemiddle="{texture}";}}' for *_, texture in lines]
    parts.append(
        f'sector{{heightfloor=0;heightceiling={BLOCK};texturefloor="FLOOR";textureceiling="CEILING";lightlevel=255;}}'
    )
    return "\n".join(parts)
