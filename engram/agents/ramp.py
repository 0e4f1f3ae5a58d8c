"""Numbers of an agent that change as it learns."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from engram.types import InputError, Number


class Ramp(eqx.Module):
    """A number that goes from one value to another in a straight line, over so many updates, and stays there:

        b + (e − b) min(t / T, 1),      t the updates done

    Such as γ, small while it is learnt what is good at once and large later, or the cost of entropy, to explore first.

    **Arguments:**

    - `begin`, `end`: b and e.
    - `updates`: T.
    """

    begin: float
    end: float
    updates: int

    def __check_init__(self):
        if self.updates < 1:
            raise InputError(f"Ramp(updates={self.updates}): give 1 at least; what does not change is a number.")

    def __call__(self, done: Int[Array, ""]) -> Float[Array, ""]:
        return self.begin + (self.end - self.begin) * jnp.minimum(done / self.updates, 1)


def ends(number: float | Ramp) -> tuple[float, float]:
    """The values that a number of an agent begins and ends with."""
    return (number.begin, number.end) if isinstance(number, Ramp) else (number, number)


def settled(number: Number | Ramp) -> Number:
    """A number of an agent at one of its updates."""
    if isinstance(number, Ramp):
        raise InputError(f"{number} has no value before it is known after how many updates: ask agent.now(updates).")
    return number
