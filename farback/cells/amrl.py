"""Aggregated memory: an LSTM with half of its output aggregated over the episode."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from farback.cell import AbstractUnrolledCell
from farback.cells.chain import Chain
from farback.cells.initialisers import AbstractGates, AbstractWeights, Forget, Uniform
from farback.cells.lstm import LSTM, LSTMState
from farback.cells.projected import AbstractSteppedCell
from farback.types import InputError


class Aggregate(NamedTuple):
    """The sum or the maximum of the outputs of the episode so far, and the number of steps."""

    value: Float[Array, " units"]
    steps: Float[Array, ""]


class AMRL(AbstractUnrolledCell):
    """Aggregated memory: an LSTM (h, c) that outputs the second half of its units aggregated over the episode, in a way
    that does not depend on the order of the steps:

        y = [h_first, M],   avg: M = Σ_k h_k / t,   sum: M = Σ_k h_k,   max: M = max(0, h_1, ..., h_t)

    With `straight_through`, the derivatives of M are those of the sum, ∂M/∂h_k = 1, for every aggregate, so credit reaches
    every step undiminished. This is not the gradient of the loss, but all exact estimators agree on it.

    Use it where one observation among noise must be remembered for an episode. It loses the order of the aggregated steps,
    and does not forget within an episode, so do not use it on streams without episodes.

    **Arguments:**

    - `input_size`, `size`: the number of inputs and of units, of which size // 2 are aggregated.
    - `aggregate`: `avg`, `sum` or `max`.
    - `straight_through`: whether the derivatives of the aggregate are those of the sum.
    - `gates`, `input_init`, `state_init`: as in `LSTM`.

    Reference: Beck et al., *AMRL: aggregated memory for reinforcement learning*, ICLR 2020.
    """

    lstm: LSTM
    aggregate: str = eqx.field(static=True)
    straight_through: bool = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        size: int,
        aggregate: str = "max",
        straight_through: bool = True,
        gates: AbstractGates = Forget(1.0),
        input_init: AbstractWeights = Uniform(),
        state_init: AbstractWeights = Uniform(),
        *,
        key: PRNGKeyArray,
    ):
        if aggregate not in ("avg", "sum", "max"):
            raise InputError(f"AMRL(aggregate={aggregate!r}): give 'avg', 'sum' or 'max'.")
        if size < 2:
            raise InputError(f"AMRL(size={size}): half of the units are aggregated; give size >= 2.")
        self.lstm = LSTM(input_size, size, gates, input_init, state_init, key=key)
        self.aggregate = aggregate
        self.straight_through = straight_through

    def chain(self) -> Chain:
        """The LSTM, followed by the aggregator of its output."""
        return Chain(self.lstm, Aggregator(self.aggregate, self.straight_through, self.lstm.initial().h))

    def initial(self) -> tuple[LSTMState, Aggregate]:
        return self.chain().initial()

    def __call__(
        self, state: tuple[LSTMState, Aggregate], x: Float[Array, " inputs"]
    ) -> tuple[tuple[LSTMState, Aggregate], Float[Array, " units"]]:
        return self.chain()(state, x)

    def unroll(
        self,
        state: tuple[LSTMState, Aggregate],
        first: Bool[Array, "time batch"],
        x: Float[Array, "time batch inputs"],
        flow: Float[Array, "time batch"],
    ) -> tuple[tuple[LSTMState, Aggregate], Float[Array, "time batch units"]]:
        return self.chain().unroll(state, first, x, flow)


class Aggregator(AbstractSteppedCell):
    """Outputs the first half of its inputs, and the aggregate of the second half over the episode."""

    aggregate: str = eqx.field(static=True)
    straight_through: bool = eqx.field(static=True)
    zero: Float[Array, " inputs"]

    def initial(self) -> Aggregate:
        return Aggregate(self.project(self.zero), jnp.zeros_like(self.zero[0]))

    def project(self, x: Float[Array, " inputs"]) -> Float[Array, " units"]:
        return x[(len(x) + 1) // 2 :]

    def advance(self, state: Aggregate, z: Float[Array, " units"]) -> Aggregate:
        maximum = straight_maximum if self.straight_through else jnp.maximum
        value = maximum(state.value, z) if self.aggregate == "max" else state.value + z
        return Aggregate(value, stop_gradient(state.steps) + 1)

    def read(self, state: Aggregate, x: Float[Array, " inputs"]) -> Float[Array, " inputs"]:
        divide = straight_divide if self.straight_through else jnp.divide
        value = divide(state.value, stop_gradient(state.steps)) if self.aggregate == "avg" else state.value
        return jnp.concatenate([x[: -len(value)], value])


@jax.custom_jvp
def straight_maximum(a: Float[Array, " units"], b: Float[Array, " units"]) -> Float[Array, " units"]:
    """max(a, b), with the derivatives of a + b."""
    return jnp.maximum(a, b)


@straight_maximum.defjvp
def _straight_maximum_jvp(primals, tangents):
    a_dot, b_dot = tangents
    return straight_maximum(*primals), a_dot + b_dot


@jax.custom_jvp
def straight_divide(a: Float[Array, " units"], by: Float[Array, ""]) -> Float[Array, " units"]:
    """The quotient a / by, with the derivative of a."""
    return a / by


@straight_divide.defjvp
def _straight_divide_jvp(primals, tangents):
    return straight_divide(*primals), tangents[0]
