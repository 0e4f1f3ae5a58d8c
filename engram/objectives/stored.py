"""Episodes that are kept on disk."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from engram.objectives.episodes import AbstractEpisodes, Recording
from engram.tasks.base import Part
from engram.types import InputError, Tally

HEADER = "episodes.json"


def store(episodes: AbstractEpisodes, path: Path | str, count: int, *, key: PRNGKeyArray, at_once: int = 64) -> None:
    """Draws so many episodes, and keeps them in a directory that is made for it: an array a file, and what they are.

    **Arguments:**

    - `episodes`: where they come from.
    - `at_once`: how many are drawn together; no more are held in memory.
    """
    if count < 1 or at_once < 1:
        raise InputError(f"store(count={count}, at_once={at_once}): give 1 at least of each.")
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"'{path}' is there already, and not empty: give another path.")
    draw = eqx.filter_jit(lambda episodes, key: episodes.draw(at_once, key))
    path.mkdir(parents=True, exist_ok=True)
    arrays: list[np.memmap] = []
    for begin in range(0, count, at_once):
        recording = draw(episodes, jax.random.fold_in(key, begin)).checked()
        if not recording.counts.any(axis=1).all():
            raise InputError(f"Of the episodes of {type(episodes).__name__} one has no step that counts: leave it out.")
        drawn = [np.asarray(leaf) for leaf in jax.tree.leaves(recording)]
        if not arrays:
            arrays = [
                np.lib.format.open_memmap(_file(path, index), "w+", leaf.dtype, (count, *leaf.shape[1:]))
                for index, leaf in enumerate(drawn)
            ]
        for array, leaf in zip(arrays, drawn, strict=True):
            array[begin : begin + at_once] = leaf[: count - begin]
    for array in arrays:
        array.flush()
    # Last, so that what was broken off before is no store.
    (path / HEADER).write_text(json.dumps({"count": count, "arrays": len(arrays)}))


class Stored(AbstractEpisodes):
    """Episodes that `store` has kept, drawn with replacement. They stay on disk, and only what is drawn is read. What is
    held out is not of them, but drawn afresh from where they came from.

    **Arguments:**

    - `episodes`: what they are: their shapes, and what is charged.
    - `path`: the directory.
    """

    episodes: AbstractEpisodes
    path: str
    steps: int
    count: int

    def __init__(self, episodes: AbstractEpisodes, path: str):
        self.episodes, self.path, self.steps = episodes, path, episodes.steps
        self.count = _checked(episodes, Path(path))

    @property
    def sizes(self) -> tuple[int, int, int]:
        return self.episodes.sizes

    @property
    def levels(self) -> Mapping[str, float]:
        return self.episodes.levels

    def held_out(self, part: Part = "test") -> AbstractEpisodes:
        return self.episodes.held_out(part)

    def draw(self, count: int, key: PRNGKeyArray) -> Recording:
        shapes = jax.eval_shape(lambda: self.episodes.draw(count, key))
        chosen = jax.random.randint(key, (count,), 0, self.count)

        def read(chosen):
            chosen = np.asarray(chosen)
            arrays = [np.load(_file(Path(self.path), index), mmap_mode="r") for index in range(len(leaves))]
            return [array[chosen] for array in arrays]

        leaves, structure = jax.tree.flatten(shapes)
        return jax.tree.unflatten(structure, jax.pure_callback(read, leaves, chosen, vmap_method="expand_dims"))

    def loss(self, output: Any, target: Any) -> tuple[Float[Array, ""], dict[str, Tally]]:
        return self.episodes.loss(output, target)


def _file(path: Path, index: int) -> Path:
    return path / f"{index}.npy"


def _checked(episodes: AbstractEpisodes, path: Path) -> int:
    """How many episodes there are, once it is known that they are whole, and of the right shapes."""
    try:
        header = json.loads((path / HEADER).read_text())
        count, arrays = int(header["count"]), int(header["arrays"])
    except FileNotFoundError:
        raise InputError(f"'{path}' has no {HEADER}: write episodes there with engram.store.") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"'{path / HEADER}' does not say what is there: write the episodes anew.") from None
    wanted = jax.tree.leaves(jax.eval_shape(lambda: episodes.draw(1, jax.random.key(0))))
    if arrays != len(wanted):
        raise InputError(f"'{path}' has {arrays} arrays an episode, but {type(episodes).__name__} has {len(wanted)}.")
    for index, leaf in enumerate(wanted):
        try:
            array = np.load(_file(path, index), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"'{_file(path, index)}' is cut short, or no array: {error}. Write it anew.") from None
        if (array.shape, array.dtype) != ((count, *leaf.shape[1:]), leaf.dtype):
            raise InputError(
                f"'{_file(path, index)}' has {array.shape[0]} episodes of {array.dtype}{list(array.shape[1:])}, but "
                f"{count} of {leaf.dtype}{list(leaf.shape[1:])} are wanted: it was written for other episodes."
            )
    return count
