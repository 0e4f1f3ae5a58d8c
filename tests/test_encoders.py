"""Encoders: sizes and numbers worked by hand, uint8 and numpy in, and spaces that do not fit."""

import functools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Text, Tuple

from farback.cells import FrozenEncoder
from farback.encoders import MLP, Conv, DictEncoder, Flatten, NatureConv, Normalize, features_size
from farback.envs.spaces import flat, sample
from farback.network import AbstractEncoder, observed
from farback.types import InputError

pytestmark = pytest.mark.slow


def image(*shape, dtype=np.uint8):
    return Box(0, 255 if dtype == np.uint8 else 1, shape, dtype)


MAKERS = {
    "Flatten": Flatten,
    "Normalize": Normalize,
    "MLP": functools.partial(MLP, size=7),
    "Conv": Conv,
    "Conv, one number a layer": functools.partial(Conv, channels=(3, 4), kernel=(5, 2), stride=[3, 1], features=6),
    "NatureConv": functools.partial(NatureConv, size=9),
    "DictEncoder": lambda space, *, key: DictEncoder(space, image=Conv, key=key),
}


def wrapped(name, space):
    """The space, or a Dict with it where the encoder reads a Dict."""
    return Dict(image=space, speed=Box(-1.0, 1.0, (2,))) if name == "DictEncoder" else space


@pytest.mark.parametrize("name", MAKERS)
def test_features_of_uint8_are_those_of_the_float_image(name):
    spaces = [wrapped(name, image(40, 38, 3, dtype=dtype)) for dtype in (np.uint8, np.float32)]
    of_bytes, of_floats = (MAKERS[name](space, key=jax.random.key(0)) for space in spaces)
    seen = sample(spaces[0], jax.random.key(1))
    as_floats = jax.tree.map(lambda x: x.astype(float) / 255 if x.dtype == jnp.uint8 else x, seen)
    np.testing.assert_array_equal(of_bytes(seen), of_floats(as_floats))
    assert np.ptp(of_bytes(seen)) > 0


@pytest.mark.parametrize("name", MAKERS)
def test_features_of_numpy_are_those_of_jax(name):
    space = wrapped(name, image(40, 38, 3))
    encoder = MAKERS[name](space, key=jax.random.key(0))
    assert isinstance(encoder, AbstractEncoder)
    seen = jax.tree.map(np.asarray, sample(space, jax.random.key(1)))
    features = encoder(seen)
    compiled = eqx.filter_jit(lambda encoder, seen: encoder(seen))(encoder, jax.tree.map(jnp.asarray, seen))
    np.testing.assert_allclose(features, compiled, rtol=1e-10, atol=1e-12)
    assert features.shape == (features_size(encoder, space),)
    assert features.dtype == jnp.float64


@pytest.mark.parametrize("name", MAKERS)
def test_encoders_pass_through_transformations(name):
    space = wrapped(name, image(40, 38, 3))
    encoder = MAKERS[name](space, key=jax.random.key(0))
    batch = jax.vmap(lambda key: sample(space, key))(jax.random.split(jax.random.key(1), 3))
    together = jax.vmap(encoder)(batch)
    alone = jnp.stack([encoder(jax.tree.map(lambda leaf, row=row: leaf[row], batch)) for row in range(3)])
    np.testing.assert_allclose(together, alone, rtol=1e-10, atol=1e-12)
    gradient = eqx.filter_grad(lambda encoder: jax.vmap(encoder)(batch).sum())(encoder)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(gradient)]
    assert all(np.isfinite(leaf).all() and leaf.any() for leaf in leaves)
    assert len(leaves) == len(jax.tree.leaves(eqx.filter(encoder, eqx.is_inexact_array)))


@pytest.mark.parametrize(
    ("make", "space", "size"),
    [
        (Conv, image(30, 40, 3), 16 * 5 * 7),  # 30 x 40 -> 13 x 18 -> 5 x 7
        (functools.partial(Conv, features=256), image(30, 40, 3), 256),
        (functools.partial(Conv, channels=(4,), kernel=3, stride=1), image(5, 6), 4 * 3 * 4),
        (functools.partial(Conv, channels=(32, 64, 64), kernel=(8, 4, 3), stride=(4, 2, 1)), image(84, 84, 4), 64 * 7 * 7),
        (NatureConv, image(84, 84, 4), 512),
        (NatureConv, image(36, 36), 512),
        (functools.partial(MLP, size=5), Dict(a=Discrete(3), b=Box(0, 1, (2, 2))), 5),
        (Flatten, Dict(a=Discrete(3), b=Box(0, 1, (2, 2))), 7),
    ],
)
def test_features_size_is_the_hand_worked_one(make, space, size):
    assert features_size(make(space, key=jax.random.key(0)), space) == size


def test_the_layers_of_nature_conv_are_those_of_the_paper():
    conv = NatureConv(image(84, 84, 4), key=jax.random.key(0)).conv
    shapes = [layer.weight.shape for layer in conv.convolutions]
    assert shapes == [(32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3)]
    assert [layer.stride for layer in conv.convolutions] == [(4, 4), (2, 2), (1, 1)]
    assert conv.linear.weight.shape == (512, 3136)


def test_conv_agrees_with_scipy():
    space = image(7, 9, 2)
    conv = Conv(space, (3,), kernel=3, stride=2, key=jax.random.key(0))
    seen = np.asarray(sample(space, jax.random.key(1)))
    (layer,) = conv.convolutions
    maps = []
    for weight, bias in zip(np.asarray(layer.weight), np.asarray(layer.bias), strict=True):
        each = [scipy.signal.correlate2d(seen[..., channel] / 255, weight[channel], "valid") for channel in range(2)]
        maps.append(np.maximum(sum(each)[::2, ::2] + bias, 0))
    np.testing.assert_allclose(conv(seen), np.ravel(maps), rtol=1e-10)


def test_conv_of_a_gray_image_is_that_of_one_channel():
    seen = np.asarray(sample(image(20, 20), jax.random.key(1)))
    gray, one = (Conv(space, key=jax.random.key(0)) for space in (image(20, 20), image(20, 20, 1)))
    np.testing.assert_array_equal(gray(seen), one(seen[..., None]))


def test_conv_reads_the_image_the_right_way_round():
    space = image(12, 20)
    conv = Conv(space, (1,), kernel=1, stride=1, key=jax.random.key(0))
    conv = eqx.tree_at(lambda conv: conv.convolutions[0].weight, conv, jnp.ones((1, 1, 1, 1)))
    conv = eqx.tree_at(lambda conv: conv.convolutions[0].bias, conv, jnp.zeros((1, 1, 1)))
    seen = sample(space, jax.random.key(1))
    np.testing.assert_allclose(conv(seen).reshape(12, 20), np.asarray(seen) / 255)


def test_flatten_is_flat():
    space = Dict(a=Discrete(3, start=1), b=image(2, 2), c=MultiBinary(2))
    seen = {"a": np.array(2), "b": np.array([[0, 255], [51, 102]], np.uint8), "c": np.array([1, 0])}
    np.testing.assert_allclose(Flatten(space)(seen), [0, 1, 0, 0, 1, 0.2, 0.4, 1, 0])
    np.testing.assert_array_equal(Flatten(space)(seen), flat(space, seen))
    assert not jax.tree.leaves(Flatten(space))


def test_mlp_is_rectified_layers():
    space = Tuple([Discrete(3), Box(-1.0, 1.0, (2,))])
    mlp = MLP(space, 4, layers=3, key=jax.random.key(0))
    x = np.array([0, 0, 1, 0.5, -0.5])
    for layer in mlp.layers:
        x = np.maximum(np.asarray(layer.weight) @ x + np.asarray(layer.bias), 0)
    np.testing.assert_allclose(mlp((np.array(2), np.array([0.5, -0.5]))), x, rtol=1e-10)
    keys = jax.random.split(jax.random.key(0), 3)
    np.testing.assert_array_equal(mlp.layers[0].weight, eqx.nn.Linear(5, 4, key=keys[0]).weight)


def test_a_dict_encoder_concatenates_in_the_order_of_the_space():
    space = Dict(z=image(13, 13), a=Discrete(2), m=Tuple([Discrete(3), Box(0.0, 1.0, (2,))]))
    assert list(space) == ["z", "a", "m"]
    encoder = DictEncoder(space, {"m": functools.partial(MLP, size=4)}, z=Conv, key=jax.random.key(0))
    seen = sample(space, jax.random.key(1))
    expected = [Conv(space["z"], key=jax.random.split(jax.random.key(0), 3)[0])(seen["z"]), flat(space["a"], seen["a"])]
    expected.append(encoder.encoders["m"](seen["m"]))
    np.testing.assert_array_equal(encoder(seen), jnp.concatenate(expected))
    inside = eqx.filter_jit(lambda encoder, seen: encoder(seen))(encoder, seen)
    np.testing.assert_allclose(inside, encoder(seen), rtol=1e-10, atol=1e-12)


def test_a_dict_encoder_without_encoders_is_flatten():
    for space in (Dict(b=Discrete(2), a=Dict(c=image(2, 2))), Tuple([Discrete(2), Box(0.0, 1.0, (2,))])):
        seen = sample(space, jax.random.key(1))
        np.testing.assert_array_equal(DictEncoder(space, key=jax.random.key(0))(seen), Flatten(space)(seen))


def test_a_dict_encoder_reads_tuples_by_index():
    space = Tuple([Discrete(2), image(13, 13)])
    encoder = DictEncoder(space, {1: Conv}, key=jax.random.key(0))
    seen = sample(space, jax.random.key(1))
    np.testing.assert_array_equal(encoder(seen), jnp.concatenate([flat(space[0], seen[0]), encoder.encoders[1](seen[1])]))


def test_equal_encoders_share_a_compiled_program():
    traces = []

    @eqx.filter_jit
    def encode(encoder, seen):
        traces.append(None)
        return encoder(seen)

    for _ in range(2):
        space = Dict(a=Discrete(3), b=image(2, 2))
        encode(Flatten(space), {"a": jnp.array(1), "b": jnp.zeros((2, 2), jnp.uint8)})
    assert len(traces) == 1
    encode(Flatten(Dict(a=Discrete(4), b=image(2, 2))), {"a": jnp.array(1), "b": jnp.zeros((2, 2), jnp.uint8)})
    assert len(traces) == 2


def test_normalized_features_have_the_statistics_of_all_rollouts():
    """Two rollouts of different sizes count as one; before the first, features are the observations."""
    space = Dict(a=Discrete(3), b=Box(-50, 50, (2,)))
    seen = jax.vmap(jax.vmap(functools.partial(sample, space)))(jax.random.split(KEY, (4, 60)))
    encoder = Normalize(space)
    one = jax.tree.map(lambda leaf: leaf[0, 0], seen)
    np.testing.assert_array_equal(encoder(one), jnp.clip(flat(space, one), -10, 10))
    after = encoder.observed(jax.tree.map(lambda leaf: leaf[:, :7], seen))
    after = after.observed(jax.tree.map(lambda leaf: leaf[:, 7:], seen))
    features = jax.vmap(jax.vmap(after))(seen).reshape(-1, 5)
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(features.std(0), 1, rtol=1e-6)
    assert not jax.tree.leaves(eqx.filter(after, eqx.is_inexact_array)), "statistics are no parameters"


def test_observations_reach_the_encoders_that_normalize_them():
    space = Dict(a=Box(-50, 50, (2,)), b=Box(-1, 1, (3,)))
    seen = jax.vmap(jax.vmap(functools.partial(sample, space)))(jax.random.split(KEY, (2, 5)))
    encoder = DictEncoder(space, a=Normalize, key=KEY)
    after = observed({"network": encoder, "frozen": FrozenEncoder(encoder)}, seen)
    expected = Normalize(space["a"]).observed(seen["a"])
    assert eqx.tree_equal(after["network"].encoders["a"].statistics, expected.statistics)
    assert eqx.tree_equal(after["frozen"], FrozenEncoder(encoder)), "control: a fixed encoder stays as it is"


KEY = jax.random.key(0)
IMAGE = image(20, 20)
PICTURES = Dict(image=IMAGE)
REFUSED = [
    (lambda: Flatten(Text(3)), "Flatten(space=Text", "give Box, Discrete"),
    (lambda: Flatten(Dict()), "Flatten(space=Dict())", "give a Dict or Tuple with at least one space"),
    (lambda: DictEncoder(Tuple([]), key=KEY), "DictEncoder(space=Tuple())", "give a Dict or Tuple with at least one space"),
    (lambda: MLP(Dict(a=Text(3)), 4, key=KEY), "MLP(space=Dict", "give Box, Discrete"),
    (lambda: MLP(Box(0, 1, (0,)), 4, key=KEY), "MLP(space=Box", "give a space with numbers"),
    (lambda: MLP(Discrete(3), 0, key=KEY), "MLP(size=0)", "give size >= 1"),
    (lambda: MLP(Discrete(3), 4, layers=0, key=KEY), "MLP(layers=0)", "give layers >= 1"),
    (lambda: Conv(Discrete(3), key=KEY), "Conv(space=Discrete(3))", "use Flatten or MLP"),
    (lambda: Conv(Box(0, 1, (20,)), key=KEY), "Conv(space=Box", "use Flatten or MLP"),
    (lambda: Conv(PICTURES, key=KEY), "Conv(space=Dict", "DictEncoder for an image in a Dict"),
    (lambda: NatureConv(PICTURES, key=KEY), "NatureConv(space=Dict", "DictEncoder for an image in a Dict"),
    (lambda: Conv(image(20, 20, dtype=np.int32), key=KEY), "Conv(space=Box", "make the space a Box of uint8"),
    (lambda: Conv(image(20, 20, 0), key=KEY), "Conv(space=Box", "no channels"),
    (lambda: Conv(image(12, 20), key=KEY), "the kernel of layer 2 is 5 x 5, and its input 4 x 8", "give larger images"),
    (lambda: Conv(image(3, 84, 84), key=KEY), "the kernel of layer 1 is 5 x 5, and its input 3 x 84", "channels first"),
    (lambda: NatureConv(image(35, 84), key=KEY), "NatureConv(space=Box", "or Conv with fewer channels"),
    (lambda: Conv(IMAGE, (), key=KEY), "Conv(channels=())", "give channels >= 1"),
    (lambda: Conv(IMAGE, (4, 0), key=KEY), "Conv(channels=(4, 0))", "give channels >= 1"),
    (lambda: Conv(IMAGE, stride=0, key=KEY), "Conv(stride=(0, 0))", "give stride >= 1"),
    (lambda: Conv(IMAGE, kernel=(3,), key=KEY), "Conv(kernel=(3,))", "give one number, or 2 of them"),
    (lambda: Conv(IMAGE, features=0, key=KEY), "Conv(features=0)", "give features >= 1"),
    (lambda: NatureConv(image(84, 84), 0, key=KEY), "NatureConv(size=0)", "give size >= 1"),
    (lambda: DictEncoder(IMAGE, key=KEY), "DictEncoder(space=Box", "use Flatten, MLP or Conv"),
    (lambda: DictEncoder(Dict(a=Text(3)), key=KEY), "DictEncoder(space=Dict", "give Box, Discrete"),
    (lambda: DictEncoder(PICTURES, picture=Conv, key=KEY), "has no 'picture'", "its keys are 'image'"),
    (lambda: DictEncoder(PICTURES, image=Flatten(IMAGE), key=KEY), "'image' has Flatten", "give a function of (space"),
    (lambda: DictEncoder(PICTURES, image=lambda space, key: jnp.asarray, key=KEY), "encoder=", "flatten and concatenate"),
]


@pytest.mark.parametrize(("make", "what", "remedy"), REFUSED)
def test_control_encoders_that_do_not_fit_are_refused(make, what, remedy):
    with pytest.raises(InputError, match=f"{re.escape(what)}(.|\n)*{re.escape(remedy)}"):
        make()


@pytest.mark.parametrize("make", [Flatten, Conv, functools.partial(MLP, size=4)])
def test_control_a_batch_is_no_observation(make):
    encoder = make(image(20, 20, 3), key=KEY)
    with pytest.raises(InputError, match=r"observation has shape \(2, 20, 20, 3\), but its space has \(20, 20, 3\)"):
        encoder(np.zeros((2, 20, 20, 3), np.uint8))


def test_control_a_float_image_is_no_element_of_a_uint8_space():
    with pytest.raises(InputError, match="is float64, but encoders divide the uint8 of this space by 255 themselves"):
        Conv(IMAGE, key=KEY)(np.zeros((20, 20)))
