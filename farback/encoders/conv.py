"""Convolutions of images."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from gymnasium.spaces import Box, Space
from jaxtyping import Array, Float, PRNGKeyArray

from farback.encoders.base import require_observation, require_sizes
from farback.envs.spaces import HashableSpace, is_uint8, normalise
from farback.network import AbstractEncoder
from farback.types import InputError


class Conv(AbstractEncoder):
    """Rectified convolutions without padding, in sequence; the last feature maps are flattened.

        x_l = ReLU(W_l * x_{l−1} + b_l),      side_l = ⌊(side_{l−1} − kernel_l) / stride_l⌋ + 1

    Without arguments it is the network of RL² for small images: 16 filters of 5 x 5, stride 2, twice. RL² has a linear
    layer after it: `features=256`. uint8 is divided by 255; floats are used as they are.

    **Arguments:**

    - `space`: a Box of uint8 or floats, of shape `(height, width, channels)` or `(height, width)`.
    - `channels`: the number of filters of each layer.
    - `kernel`, `stride`: one number for all layers, or one for each layer.
    - `features`: the number of units of a rectified linear layer after the convolutions; `None` leaves it out.

    Reference: Duan et al., *RL²: fast reinforcement learning via slow reinforcement learning*, 2016, section 3.3.
    """

    space: HashableSpace = eqx.field(static=True)
    convolutions: tuple[eqx.nn.Conv2d, ...]
    linear: eqx.nn.Linear | None

    def __init__(
        self,
        space: Space[Any],
        channels: Sequence[int] = (16, 16),
        kernel: int | Sequence[int] = 5,
        stride: int | Sequence[int] = 2,
        features: int | None = None,
        *,
        key: PRNGKeyArray,
    ):
        channels = tuple(channels)
        kernels, strides = (_each_layer(name, of, len(channels)) for name, of in (("kernel", kernel), ("stride", stride)))
        require_sizes(
            "Conv", channels=channels, kernel=kernels, stride=strides, features=1 if features is None else features
        )
        height, width = feature_map_size("Conv", space, kernels, strides)
        *keys, last = jax.random.split(key, len(channels) + 1)
        before = (image_shape("Conv", space)[2], *channels[:-1])
        layers = zip(before, channels, kernels, strides, strict=True)
        self.space = HashableSpace(space)
        self.convolutions = tuple(eqx.nn.Conv2d(*layer, key=key) for layer, key in zip(layers, keys, strict=True))
        size = channels[-1] * height * width
        self.linear = None if features is None else eqx.nn.Linear(size, features, key=last)

    def __call__(self, observation: Any) -> Float[Array, " features"]:
        space = self.space.unwrapped
        require_observation("Conv", space, observation)
        x = normalise(space, observation).reshape(image_shape("Conv", space))
        for convolution in self.convolutions:
            x = jax.nn.relu(convolve(convolution, x))
        x = jnp.moveaxis(x, -1, 0).ravel()
        return x if self.linear is None else jax.nn.relu(self.linear(x))


def convolve(
    convolution: eqx.nn.Conv2d, image: Float[Array, "height width channels"]
) -> Float[Array, "rows columns filters"]:
    """A convolution without padding, with square kernels, as one product of matrices.

    XLA's own convolutions are much slower on CPUs where they stand in a loop, such as that of epochs.
    """
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    rows, columns = (stride * ((side - kernel) // stride) + 1 for side in image.shape[:2])
    offsets = [(i, j) for i in range(kernel) for j in range(kernel)]
    patches = jnp.concatenate([image[i : i + rows : stride, j : j + columns : stride] for i, j in offsets], axis=-1)
    weight = jnp.moveaxis(convolution.weight, (2, 3), (0, 1))  # [kernel, kernel, filters, channels]
    weight = jnp.swapaxes(weight, 2, 3).reshape(-1, convolution.out_channels)
    result = patches @ weight
    return result if convolution.bias is None else result + convolution.bias.ravel()


def image_shape(encoder: str, space: Space[Any]) -> tuple[int, int, int]:
    """The `(height, width, channels)` of the images of a space, which is refused if it has no images."""
    if not isinstance(space, Box) or len(space.shape) not in (2, 3):
        raise InputError(
            f"{encoder}(space={space}): it reads images, a Box of shape (height, width, channels) or (height, width); use "
            f"Flatten or MLP for other spaces, and DictEncoder for an image in a Dict or Tuple."
        )
    if not (is_uint8(space) or jnp.issubdtype(space.dtype, jnp.floating)):
        raise InputError(
            f"{encoder}(space={space}): images are uint8 or floats, and these are {space.dtype}; make the space a Box of "
            f"uint8, or use Flatten or MLP for small integers."
        )
    height, width, *channels = space.shape
    return height, width, (channels[0] if channels else 1)


def feature_map_size(
    encoder: str, space: Space[Any], kernels: tuple[int, ...], strides: tuple[int, ...]
) -> tuple[int, int]:
    """The height and width of the last feature maps. Images that are too small for a kernel are refused."""
    height, width, channels = image_shape(encoder, space)
    for layer, (kernel, stride) in enumerate(zip(kernels, strides, strict=True), 1):
        if min(height, width) < kernel:
            raise InputError(
                f"{encoder}(space={space}): the kernel of layer {layer} is {kernel} x {kernel}, and its input "
                f"{height} x {width}; give larger images, or Conv with fewer channels or a smaller kernel or stride. If "
                f"the images have their channels first, move that axis to the end."
            )
        height, width = ((side - kernel) // stride + 1 for side in (height, width))
    if channels == 0:
        raise InputError(f"{encoder}(space={space}): the images have no channels; give shape (height, width) for one.")
    return height, width


def _each_layer(name: str, of: int | Sequence[int], layers: int) -> tuple[int, ...]:
    each = (of,) * layers if isinstance(of, int) else tuple(of)
    if len(each) != layers:
        raise InputError(
            f"Conv({name}={of!r}): there are {layers} layers in channels; give one number, or {layers} of them."
        )
    return each
