"""Reads IDX, the format of MNIST's files."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from farback.types import InputError


def read_idx(path: Path, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """The bytes of an IDX file, or of `path` with `.gz` appended if only that file exists.

        0 0 8 d      the magic number: unsigned bytes, in d dimensions
        d × 4 bytes  the sizes, big-endian
        payload      one byte per entry, in C order, up to the end of the file

    **Arguments:**

    - `path`: the file.
    - `dimensions`: the number of dimensions that it must have.

    Reference: LeCun, Cortes and Burges, *The MNIST database of handwritten digits*.
    """
    data = _unpacked(path)
    start = 4 * (1 + dimensions)
    if len(data) < start or data[:4] != bytes([0, 0, 8, dimensions]):
        raise InputError(
            f"'{path}' begins with the bytes {data[:4].hex(' ') or '(none)'}, but an IDX file of unsigned bytes in "
            f"{dimensions} dimensions begins with 00 00 08 {dimensions:02x} and its sizes: download it again."
        )
    sizes = [int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4)]
    if len(data) - start != math.prod(sizes):
        raise InputError(
            f"'{path}' has {len(data) - start:,} bytes of data, but its header states "
            f"{' × '.join(map(str, sizes))} = {math.prod(sizes):,}: it is incomplete or changed; download it again."
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(sizes)


def _unpacked(path: Path) -> bytes:
    packed = path.with_name(f"{path.name}.gz")
    if path.exists() or not packed.exists():
        return path.read_bytes()
    try:
        return gzip.decompress(packed.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"'{packed}' cannot be unpacked: {error}. Download it again.") from None
