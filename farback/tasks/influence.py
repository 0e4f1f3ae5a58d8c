"""Influence balancing: a stream whose short-term gradient has the wrong sign."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from farback.cell import AbstractCell
from farback.tasks.base import AbstractTask
from farback.types import InputError, Tally, Window


class BalanceCell(AbstractCell):
    """s′ = A s + θ (1, ..., 1, −1, ..., −1), with A_ii = A_{i,i+1} = ½; the output is (s′¹, θ).

    **Arguments:**

    - `theta`: θ, the only parameter.
    - `units`: the number of units.
    - `minus`: the number of units with −θ, the last ones.
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
    """One parameter θ raises the units near the observed unit, and lowers more units farther away.

        ℓ = ½ (s¹ − 1)²

    There are no inputs, and nothing is random: the dynamics are those of the memory, which `system` returns. In the
    long run ∂s¹/∂θ = 2 (plus − minus), which is −6 for (23, 13), so θ should fall to −1/6. The short-term effect has
    the opposite sign: a gradient truncated to fewer than 110 steps has the wrong sign. The optimum is 0. Without
    memory, s¹ = 0 and the loss is ½.

    **Arguments:**

    - `units`: n, the number of units.
    - `minus`: p, the number of units that θ lowers.

    Reference: Tallec and Ollivier, *Unbiased online recurrent optimization*, 2018; thesis sections 3.7 and 4.5.
    """

    units: int = 23
    minus: int = 13

    def __check_init__(self):
        if not 0 <= self.minus <= self.units or self.units < 1:
            raise InputError(
                f"InfluenceBalancing({self.units}, {self.minus}): minus is a number of units; give "
                f"0 <= minus <= units and units >= 1."
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

    def system(self, theta: float = 0.5) -> BalanceCell:
        """The memory of the model. Its only parameter is initially `theta`. Encoder and head are identities."""
        return BalanceCell(jnp.asarray(theta, float), self.units, self.minus)

    def begin(self, key: PRNGKeyArray) -> Bool[Array, ""]:
        del key
        return jnp.array(True)

    def emit(self, source: Bool[Array, ""]) -> tuple[Bool[Array, ""], Window]:
        return jnp.array(False), Window(source, jnp.zeros(0), jnp.ones(()))

    def loss(self, output: Float[Array, "2"], targets: Float[Array, ""]) -> tuple[Float[Array, ""], dict[str, Tally]]:
        observed, theta = output
        return 0.5 * (observed - targets.astype(observed.dtype)) ** 2, {"theta": Tally(theta, jnp.ones_like(theta))}
