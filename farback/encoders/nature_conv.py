"""The convolutions of DQN."""

from typing import Any

from gymnasium.spaces import Space
from jaxtyping import Array, Float, PRNGKeyArray

from farback.encoders.base import require_sizes
from farback.encoders.conv import Conv, feature_map_size
from farback.network import AbstractEncoder

CHANNELS, KERNELS, STRIDES = (32, 64, 64), (8, 4, 3), (4, 2, 1)


class NatureConv(AbstractEncoder):
    """The network of DQN for Atari frames: 32 filters of 8 x 8, stride 4; 64 of 4 x 4, stride 2; 64 of 3 x 3, stride 1; a
    linear layer. Each is rectified.

    The usual choice for images of 84 x 84. The smallest size is 36 x 36; for smaller images use `Conv`.

    **Arguments:**

    - `space`: a Box of uint8 or floats, of shape `(height, width, channels)` or `(height, width)`.
    - `size`: the number of units of the linear layer.

    Reference: Mnih et al., *Human-level control through deep reinforcement learning*, Nature 2015.
    """

    conv: Conv

    def __init__(self, space: Space[Any], size: int = 512, *, key: PRNGKeyArray):
        require_sizes("NatureConv", size=size)
        feature_map_size("NatureConv", space, KERNELS, STRIDES)
        self.conv = Conv(space, CHANNELS, KERNELS, STRIDES, size, key=key)

    def __call__(self, observation: Any) -> Float[Array, " size"]:
        return self.conv(observation)
