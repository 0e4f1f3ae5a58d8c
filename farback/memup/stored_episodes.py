"""Episodes on disk."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from gymnasium.spaces import Space
from jaxtyping import Array, Float, PRNGKeyArray

from farback.algorithm import Score
from farback.memup.episodes import AbstractEpisodeSource, Trajectories
from farback.types import InputError, Split, Tally

HEADER = "episodes.json"


def save_episodes(
    episodes: AbstractEpisodeSource, path: Path | str, count: int, *, key: PRNGKeyArray, chunk: int = 64
) -> None:
    """Draws episodes and saves them in a new directory: one `.npy` file for each array, and a header.

    **Arguments:**

    - `episodes`: the source.
    - `path`: the directory.
    - `count`: the number of episodes.
    - `chunk`: the number of episodes in memory at once.
    """
    if count < 1 or chunk < 1:
        raise InputError(f"save_episodes(count={count}, chunk={chunk}): give count >= 1 and chunk >= 1.")
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"'{path}' exists and is not empty: give another path.")
    draw = eqx.filter_jit(lambda episodes, key: episodes.draw(chunk, key))
    path.mkdir(parents=True, exist_ok=True)
    arrays: list[np.memmap] = []
    for begin in range(0, count, chunk):
        drawn = draw(episodes, jax.random.fold_in(key, begin)).checked()
        if not drawn.mask.any(axis=1).all():
            raise InputError(
                f"{type(episodes).__name__} drew an episode without steps: draw only episodes of at least one step."
            )
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(drawn)]
        if not arrays:
            arrays = [
                np.lib.format.open_memmap(_file(path, index), "w+", leaf.dtype, (count, *leaf.shape[1:]))
                for index, leaf in enumerate(leaves)
            ]
        for array, leaf in zip(arrays, leaves, strict=True):
            array[begin : begin + chunk] = leaf[: count - begin]
    for array in arrays:
        array.flush()
    # Written last, so that a directory with a header is complete.
    (path / HEADER).write_text(json.dumps({"count": count, "arrays": len(arrays)}))


class StoredEpisodes(AbstractEpisodeSource):
    """Episodes from disk, saved by `save_episodes` and drawn with replacement. Only the drawn episodes are read.

    Held-out episodes come from the original source.

    **Arguments:**

    - `episodes`: the original source, which defines the shapes and the loss.
    - `path`: the directory.
    """

    episodes: AbstractEpisodeSource
    path: str
    steps: int
    count: int

    def __init__(self, episodes: AbstractEpisodeSource, path: str):
        self.episodes, self.path, self.steps = episodes, path, episodes.steps
        self.count = _checked(episodes, Path(path))

    @property
    def observation_space(self) -> Space[Any]:
        return self.episodes.observation_space

    @property
    def action_space(self) -> Space[Any] | None:
        return self.episodes.action_space

    @property
    def output_size(self) -> int:
        return self.episodes.output_size

    @property
    def levels(self) -> Mapping[str, float]:
        return self.episodes.levels

    def split(self, part: Split = "test") -> AbstractEpisodeSource:
        return self.episodes.split(part)

    def draw(self, count: int, key: PRNGKeyArray) -> Trajectories:
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

    def score(self, error: Float[Array, "batch time"], episodes: Trajectories) -> Score | None:
        return self.episodes.score(error, episodes)


def _file(path: Path, index: int) -> Path:
    return path / f"{index}.npy"


def _checked(episodes: AbstractEpisodeSource, path: Path) -> int:
    """Returns the number of saved episodes, and refuses incomplete directories and arrays of other shapes."""
    try:
        header = json.loads((path / HEADER).read_text())
        count, arrays = int(header["count"]), int(header["arrays"])
    except FileNotFoundError:
        raise InputError(f"'{path}' has no {HEADER}: save episodes there with farback.memup.save_episodes.") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"'{path / HEADER}' is not readable: save the episodes again.") from None
    wanted = jax.tree.leaves(jax.eval_shape(lambda: episodes.draw(1, jax.random.key(0))))
    if arrays != len(wanted):
        raise InputError(
            f"'{path}' has {arrays} arrays per episode, but {type(episodes).__name__} has {len(wanted)}: give the source "
            f"that the episodes were saved from."
        )
    for index, leaf in enumerate(wanted):
        try:
            array = np.load(_file(path, index), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"'{_file(path, index)}' is truncated or not an array ({error}): save the episodes again."
            ) from None
        if (array.shape, array.dtype) != ((count, *leaf.shape[1:]), leaf.dtype):
            raise InputError(
                f"'{_file(path, index)}' holds {array.shape[0]} episodes of {array.dtype}{list(array.shape[1:])}, but "
                f"{count} of {leaf.dtype}{list(leaf.shape[1:])} are needed: give the source that the episodes were saved "
                f"from."
            )
    return count
