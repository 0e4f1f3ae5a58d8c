"""Bounded continuous actions as one vector of numbers in [−1, 1]."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Array, Float

from farback.envs.base import AbstractEnv
from farback.envs.spaces import flat, mapped, names, parts
from farback.types import InputError


class BoxActions:
    """Converts between the actions of an environment and vectors u in [−1, 1]:

        a = low + (u + 1) / 2 · (high − low)

    **Arguments:**

    - `env`: the environment. Its action space is a bounded Box of floats, or a Dict or Tuple of these.
    - `who`: who needs such actions, for the error.
    """

    def __init__(self, env: AbstractEnv, who: str):
        self.space = env.action_space
        boxes = [part for part, _ in parts(self.space, names(self.space))]
        for box in boxes:
            if not (isinstance(box, Box) and np.issubdtype(box.dtype, np.floating) and box.is_bounded()):
                raise InputError(
                    f"{who} has continuous actions between bounds, but the actions of {type(env).__name__} are {box}: use "
                    f"an agent for such actions, such as DQN for Discrete ones, or PPO."
                )
        self.low, self.high = (
            np.concatenate([getattr(box, name).ravel() for box in boxes]).astype(float) for name in ("low", "high")
        )

    @property
    def size(self) -> int:
        """The length of the vector."""
        return len(self.low)

    def to_unit(self, action: Any) -> Float[Array, " size"]:
        """Returns the vector of an action."""
        return 2 * (flat(self.space, action) - self.low) / (self.high - self.low) - 1

    def from_unit(self, unit: Float[Array, " size"]) -> Any:
        """Returns the action of a vector."""
        numbers, at = self.low + (unit + 1) / 2 * (self.high - self.low), 0

        def one(box, _):
            nonlocal at
            count = int(np.prod(box.shape))
            piece, at = numbers[at : at + count], at + count
            return jnp.asarray(piece, float).reshape(box.shape)

        return mapped(one, self.space, names(self.space))
