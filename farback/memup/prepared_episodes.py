"""Episodes with the targets of each step, and windows of them."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from farback.memup.episodes import Trajectories
from farback.memup.selectors import SelectedTargets
from farback.memup.step import PredictionTargets
from farback.types import Window


class PreparedEpisodes(eqx.Module):
    """Episodes, the later steps to predict at each step, and the context of each step; leaves `[batch, time, ...]`."""

    episodes: Trajectories
    selected: SelectedTargets
    context: Any

    def window(self, start: Int[Array, ""], length: int, interval: int) -> Window:
        """Returns `length` steps from `start` on as a window of blocks of `interval` steps, with their targets."""
        blocks = length // interval
        ends = start + interval * (1 + jnp.arange(blocks)) - 1

        def one(episode, selected, context):
            steps, weight = selected.steps[ends], selected.weight[ends]
            later = (episode.inputs, context, episode.targets)
            inputs, later_context, outcome = jax.tree.map(lambda leaf: leaf[steps], later)
            here = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, length), (episode, context))
            now, near = jax.tree.map(lambda leaf: leaf.reshape(blocks, interval, *leaf.shape[1:]), here)
            mask = now.mask.astype(weight.dtype)
            targets = PredictionTargets(inputs, later_context, outcome, weight, near, now.targets, mask)
            return Window(ends < interval, now.inputs, targets)

        return jax.vmap(one)(self.episodes, self.selected, self.context)
