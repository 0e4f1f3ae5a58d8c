"""How weights begin, and how long the gates remember at first.

A weight initialiser draws one matrix `[inputs, units]` for each gate. A gate initialiser draws the log odds that a unit
keeps its state over one step; a cell translates them into its own biases.
"""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from engram.types import InputError


class AbstractWeights(eqx.Module):
    """Draws a weight matrix."""

    @abstractmethod
    def __call__(self, key: PRNGKeyArray, inputs: int, units: int) -> Float[Array, "inputs units"]: ...


class Uniform(AbstractWeights):
    """w ~ U(−1/√units, 1/√units): what PyTorch's recurrent layers begin with, and the default here."""

    def __call__(self, key: PRNGKeyArray, inputs: int, units: int) -> Float[Array, "inputs units"]:
        return jax.random.uniform(key, (inputs, units), minval=-(units**-0.5), maxval=units**-0.5)


class Xavier(AbstractWeights):
    """w ~ U(−b, b) with b = √(6 / (inputs + units)), of Glorot and Bengio (2010)."""

    def __call__(self, key: PRNGKeyArray, inputs: int, units: int) -> Float[Array, "inputs units"]:
        return jax.nn.initializers.xavier_uniform()(key, (inputs, units))


class Orthogonal(AbstractWeights):
    """A random matrix with orthonormal rows or columns, times `gain`, of Saxe et al. (2014)."""

    gain: float = 1.0

    def __call__(self, key: PRNGKeyArray, inputs: int, units: int) -> Float[Array, "inputs units"]:
        return jax.nn.initializers.orthogonal(self.gain)(key, (inputs, units))


class Normal(AbstractWeights):
    """w ~ N(0, scale²)."""

    scale: float = 0.1

    def __call__(self, key: PRNGKeyArray, inputs: int, units: int) -> Float[Array, "inputs units"]:
        return self.scale * jax.random.normal(key, (inputs, units))


class AbstractGates(eqx.Module):
    """Draws the log odds, log P(keep) / P(forget), with which each unit keeps its state over one step.

    With `tied`, an input gate that is separate from the forget gate begins at the opposite log odds.
    """

    tied: ClassVar[bool]

    @abstractmethod
    def __call__(self, key: PRNGKeyArray, units: int) -> Float[Array, " units"]: ...


class Forget(AbstractGates):
    """The same constant for each unit; an LSTM's forget bias of 1 is the usual standard (Jozefowicz et al., 2015)."""

    tied: ClassVar[bool] = False
    bias: float = 1.0

    def __call__(self, key: PRNGKeyArray, units: int) -> Float[Array, " units"]:
        del key
        return jnp.full(units, self.bias)


class Chrono(AbstractGates):
    """Forgetting times spread over the range that the task is known to have: log odds = log(T − 1), T ~ U(t_min, t_max).

    For an LSTM b_f = log(U(1, T_max − 1)) and b_i = −b_f, eq. (5.16); for the gated cell b_g = −log(U(T_min, T_max) − 1);
    for a GRU the update gate, which keeps, begins at log(U(T_min, T_max) − 1). A unit then remembers for about T steps.

    **Arguments:**

    - `t_max`: the longest dependency expected, at least 2. Far above the truth, it slows the learning of short ones.
    - `t_min`: the shortest, at least 2: T = 2 is an open gate, log odds 0.

    Reference: Tallec and Ollivier, *Can recurrent neural networks warp time?*, ICLR 2018; thesis section 5.2.
    """

    tied: ClassVar[bool] = True
    t_max: float
    t_min: float = 2.0

    def __check_init__(self):
        if self.t_max < 2:
            raise InputError(f"Chrono(t_max={self.t_max}): a memory lasts at least 2 steps; give t_max >= 2.")
        if not 2 <= self.t_min <= self.t_max:
            raise InputError(f"Chrono(t_min={self.t_min}): must lie between 2 and t_max = {self.t_max}.")

    def __call__(self, key: PRNGKeyArray, units: int) -> Float[Array, " units"]:
        return jnp.log(jax.random.uniform(key, (units,), minval=self.t_min, maxval=self.t_max) - 1)


class ChronoUnknown(AbstractGates):
    """Forgetting times for a task of unknown range: log odds = log T, P(T = k) ∝ 1 / (k log²(k + 1)).

    A law of slow decay, so that no scale is left out. T is drawn from k <= 10⁶, which leaves out 2 % of the mass.

    Reference: thesis section 5.2, footnote 7.
    """

    tied: ClassVar[bool] = True

    def __call__(self, key: PRNGKeyArray, units: int) -> Float[Array, " units"]:
        k = np.arange(1, 1_000_001, dtype=np.float64)
        cumulative = np.cumsum(1 / (k * np.log(k + 1) ** 2))
        u = jax.random.uniform(key, (units,))
        drawn = jnp.searchsorted(jnp.asarray(cumulative / cumulative[-1], u.dtype), u) + 1
        return jnp.log(drawn.astype(u.dtype))
