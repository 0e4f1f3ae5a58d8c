"""Spaces within compiled programs: uint8 stays uint8, one function normalises it, and samples are Gymnasium's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

from farback.envs.spaces import HashableSpace, as_array, contains, flat, mapped, names, normalise, parts, sample, width
from farback.types import InputError

IMAGE = Box(0, 255, (2, 3), np.uint8)
NESTED = Dict(image=IMAGE, rest=Tuple([Discrete(3, start=1), Box(-1.0, 1.0, (2,)), MultiBinary(2), MultiDiscrete([2, 3])]))
ELEMENT = {
    "image": np.array([[0, 51, 255], [102, 153, 204]], np.uint8),
    "rest": (np.array(3), np.array([0.5, -0.25], np.float32), np.array([1, 0], np.int8), np.array([1, 0])),
}
FLAT = [0, 0.2, 1, 0.4, 0.6, 0.8, 0, 0, 1, 0.5, -0.25, 1, 0, 0, 1, 1, 0, 0]

DTYPES = [
    (IMAGE, jnp.uint8),
    (Box(0, 255, (2,), np.uint16), jnp.int64),
    (Box(-1, 1, (2,), np.int8), jnp.int64),
    (Box(-1.0, 1.0, (2,), np.float32), jnp.float64),
    (Discrete(3), jnp.int64),
    (MultiBinary(3), jnp.int64),
    (MultiDiscrete([2, 5]), jnp.int64),
]


@pytest.mark.parametrize(("space", "dtype"), DTYPES, ids=lambda value: str(value))
def test_arrays_have_the_dtype_of_the_space(space, dtype):
    assert as_array(space, space.sample()).dtype == dtype
    assert sample(space, jax.random.key(0)).dtype == dtype
    assert jax.jit(lambda key: sample(space, key))(jax.random.key(0)).dtype == dtype


def test_flat_has_the_hand_worked_numbers():
    found = flat(NESTED, ELEMENT)
    np.testing.assert_allclose(found, FLAT)
    assert found.dtype == jnp.float64
    assert found.shape == (width(NESTED),)


def test_flat_is_the_same_of_numpy_and_of_jax_arrays():
    arrays = mapped(as_array, NESTED, ELEMENT)
    np.testing.assert_array_equal(flat(NESTED, ELEMENT), flat(NESTED, arrays))
    np.testing.assert_array_equal(flat(NESTED, ELEMENT), jax.jit(lambda x: flat(NESTED, x))(arrays))
    assert arrays["image"].dtype == jnp.uint8


def test_normalise_divides_uint8_and_nothing_else():
    np.testing.assert_array_equal(normalise(IMAGE, ELEMENT["image"]), ELEMENT["image"] / 255)
    for space in (Box(0, 255, (2,), np.int32), Box(0, 255, (2,), np.uint16), Box(0.0, 255.0, (2,)), MultiBinary(2)):
        np.testing.assert_array_equal(normalise(space, np.ones(2, int)), np.ones(2))


def test_normalise_refuses_uint8_images_that_are_floats_already():
    with pytest.raises(InputError, match=r"x: an observation of Box.* is float64, .* give integers of 0 to 255"):
        normalise(IMAGE, ELEMENT["image"] / 255)


def test_sample_of_integers_reaches_both_bounds_uniformly():
    space = Box(3, 6, (40_000,), np.uint8)
    counts = np.bincount(sample(space, jax.random.key(0)), minlength=10)
    assert counts.nonzero()[0].tolist() == [3, 4, 5, 6]
    np.testing.assert_allclose(counts[3:7] / 40_000, 0.25, atol=0.015)


def test_sample_of_uint8_covers_its_range():
    drawn = sample(Box(0, 255, (40_000,), np.uint8), jax.random.key(0))
    assert len(np.unique(drawn)) == 256


def test_sample_of_a_bounded_box_of_floats_is_a_scaled_uniform():
    between, _ = jax.random.split(jax.random.key(3))
    expected = -1 + jax.random.uniform(between, (4,)) * 3
    np.testing.assert_array_equal(sample(Box(-1.0, 2.0, (4,)), jax.random.key(3)), expected)


def test_samples_are_contained():
    for part, x in parts(NESTED, sample(NESTED, jax.random.key(0))):
        assert contains(part, x)
        assert part.contains(np.asarray(x, part.dtype))
    assert not contains(IMAGE, np.zeros((2, 3)))
    assert not contains(Box(3, 6, (1,), np.uint8), np.array([7], np.uint8))


def test_names_follow_the_structure():
    assert names(NESTED) == {"image": "['image']", "rest": tuple(f"['rest'][{index}]" for index in range(4))}
    assert [name for _, name in parts(NESTED, names(NESTED))][:2] == ["['image']", "['rest'][0]"]


def test_hashable_spaces_are_equal_as_their_spaces_are():
    one, same = (HashableSpace(Dict(a=Box(low, 255, (2,), np.uint8), b=Discrete(3))) for low in (0, 0))
    other = HashableSpace(Dict(a=Box(1, 255, (2,), np.uint8), b=Discrete(3)))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != one.unwrapped
    assert repr(one) == repr(one.unwrapped)


def test_control_gymnasium_spaces_have_no_hash():
    with pytest.raises(TypeError, match="unhashable"):
        hash(IMAGE)


@pytest.mark.parametrize("refused", [width, lambda space: sample(space, jax.random.key(0)), HashableSpace])
def test_spaces_without_arrays_are_refused(refused):
    with pytest.raises(InputError, match=r"Text spaces have no arrays of a fixed shape: give Box, Discrete"):
        refused(Text(3))
