"""Influence balancing: a stream whose good comes before its harm."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from engram.cell import AbstractCell
from engram.tasks.base import AbstractTask
from engram.types import InputError, Tally, Window


class Balance(AbstractCell):
    """s′ = A s + θ (1, ..., 1, −1, ..., −1), with A_ii = A_{i,i+1} = ½; the output is (s′¹, θ).

    **Arguments:**

    - `theta`: θ.
    - `units`, `minus`: the units, and how many of them, the last, are pushed by −θ.
    """

    theta: Float[Array, ""]
    units: int
    minus: int

    def initial(self) -> Float[Array, " units"]:
        return jnp.ones_like(self.theta, shape=self.units)

    def __call__(self, state: Float[Array, " units"], x: Float[Array, "0"]):
        del x
        sign = jnp.where(jnp.arange(self.units) < self.units - self.minus, 1.0, -1.0).astype(state.dtype)
        beside = jnp.append(state[1:], jnp.zeros_like(state, shape=1))
        state = state / 2 + beside / 2 + self.theta * sign
        return state, jnp.stack([state[0], self.theta])


class InfluenceBalancing(AbstractTask):
    """One parameter θ pushes some units up, near the one that is observed, and more units down, farther from it.

        ℓ = ½ (s¹ − 1)²

    Nothing is seen and nothing is random: all is in the dynamics, which `system` gives. In the long run
    ∂s¹/∂θ = 2 (plus − minus), which for (23, 13) is −6: θ should fall to −1/6. But the good is felt first: truncation to
    fewer than 110 steps has the wrong sign. Optimum 0; without a state that lasts, s¹ = 0 and the loss is ½.

    **Arguments:**

    - `units`: n.
    - `minus`: p, the units that are pushed down.

    Reference: Tallec and Ollivier, *Unbiased online recurrent optimization*, 2018; thesis sections 3.7 and 4.5.
    """

    units: int = 23
    minus: int = 13

    def __check_init__(self):
        if not 0 <= self.minus <= self.units or self.units < 1:
            raise InputError(
                f"InfluenceBalancing({self.units}, {self.minus}): some of the units are pushed down, the others up; give "
                f"0 <= minus <= units."
            )

    @property
    def input_size(self) -> int:
        return 0

    @property
    def output_size(self) -> int:
        return 2

    @property
    def optimum(self) -> float:
        return 0.0

    @property
    def memoryless(self) -> float:
        return 0.5

    def system(self, theta: float = 0.5) -> Balance:
        """The model, whose one parameter begins with `theta`."""
        return Balance(jnp.asarray(theta, float), self.units, self.minus)

    def begin(self, key: PRNGKeyArray) -> Bool[Array, ""]:
        del key
        return jnp.array(True)

    def emit(self, source: Bool[Array, ""]) -> tuple[Bool[Array, ""], Window]:
        return jnp.array(False), Window(source, jnp.zeros(0), jnp.ones(()))

    def loss(self, output: Float[Array, "2"], targets: Float[Array, ""]) -> tuple[Float[Array, ""], dict[str, Tally]]:
        observed, theta = output
        return 0.5 * (observed - targets.astype(observed.dtype)) ** 2, {"theta": Tally(theta, jnp.ones_like(theta))}
