"""Hyper-parameters as arrays, and schedules of them."""

import dataclasses
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from farback.ops.optimizers import AbstractOptimizer
from farback.types import InputError, Number

T = TypeVar("T", bound=PyTree)


class AbstractHyperparameter(eqx.Module):
    """A hyper-parameter of several numbers that affect no array shape. In compiled programs they are arrays."""


class LinearSchedule(AbstractHyperparameter):
    """A number that changes linearly from b to e over T updates, and is constant afterwards:

        b + (e − b) min(t / T, 1),      t the number of updates done

    Use it for example for a discount that grows, or for an entropy coefficient that falls.

    **Arguments:**

    - `begin`, `end`: b and e, the first and the last value.
    - `updates`: T, the number of updates from b to e.
    """

    begin: float
    end: float
    updates: int

    def __check_init__(self):
        if self.updates < 1:
            raise InputError(f"LinearSchedule(updates={self.updates}): give updates >= 1, or a number for a constant.")

    def __call__(self, updates: Int[Array, ""]) -> Float[Array, ""]:
        return self.begin + (self.end - self.begin) * jnp.minimum(updates / self.updates, 1)


def extremes(number: Number | LinearSchedule) -> tuple[Number, Number]:
    """The first and the last value of a hyper-parameter."""
    return (number.begin, number.end) if isinstance(number, LinearSchedule) else (number, number)


def value_at(number: Number | LinearSchedule) -> Number:
    """A hyper-parameter as a number. Raises if it is still a schedule, before `at_update`."""
    if isinstance(number, LinearSchedule):
        raise InputError(f"{number} has a value only at an update: call at_update(algorithm, updates) first.")
    return number


def at_update(algorithm: T, updates: Int[Array, ""]) -> T:
    """The algorithm with each `LinearSchedule` replaced by its value after a number of updates."""

    def is_schedule(part):
        return isinstance(part, LinearSchedule)

    return jax.tree.map(lambda part: part(updates) if is_schedule(part) else part, algorithm, is_leaf=is_schedule)


def with_array_numbers(algorithm: T) -> T:
    """The algorithm with its hyper-parameters as arrays, so that one compiled program serves all their values.

    These are its own floats, and those of its schedules and its optimizer. Its task or environment does not change.
    """

    def array(leaf):
        return jnp.asarray(leaf, float) if isinstance(leaf, float) else leaf

    names = [field.name for field in dataclasses.fields(algorithm)]
    kinds = float | AbstractHyperparameter | AbstractOptimizer
    found = {name: value for name in names if isinstance(value := getattr(algorithm, name), kinds)}
    if not found:
        return algorithm
    return eqx.tree_at(
        lambda algorithm: [getattr(algorithm, name) for name in found],
        algorithm,
        [jax.tree.map(array, value) for value in found.values()],
    )


def check_discount(gamma: Number | LinearSchedule) -> None:
    """Raises if a discount is not in [0, 1]. Values in compiled programs are not checked."""
    if not all(isinstance(value, jax.Array) or 0 <= value <= 1 for value in extremes(gamma)):
        raise InputError(f"gamma={gamma}: a discount lies between 0 and 1.")
