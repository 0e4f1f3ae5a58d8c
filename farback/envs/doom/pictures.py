"""Pictures of the engine in the size that an agent sees."""

import numpy as np
from jaxtyping import UInt8


def shrunk(screen: UInt8[np.ndarray, "rows columns 3"], height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
    """The means of blocks of pixels. If a side is not a multiple of its size, its blocks differ by one pixel."""
    rows, columns, _ = screen.shape
    if rows % height == 0 and columns % width == 0:
        down, across = rows // height, columns // width
        sums = screen.reshape(height, down, -1).sum(axis=1, dtype=np.uint16).reshape(height, width, across, 3)
        return (sums.sum(axis=2, dtype=np.uint32) // (down * across)).astype(np.uint8)
    down, across = np.arange(height + 1) * rows // height, np.arange(width + 1) * columns // width
    sums = np.add.reduceat(np.add.reduceat(screen.astype(np.uint32), down[:-1], axis=0), across[:-1], axis=1)
    return (sums // np.outer(np.diff(down), np.diff(across))[..., None]).astype(np.uint8)
