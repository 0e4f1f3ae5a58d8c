"""Initialisers of weights, and of the biases of gates.

A weight initialiser draws one matrix `[inputs, units]` per gate. A gate initialiser draws the log odds that a unit keeps
its state over one step, from which a cell computes its biases.
"""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from farback.types import InputError


class AbstractWeights(eqx.Module):
    """Draws a weight matrix."""

    @abstractmethod
    def __call__(self, key: PRNGKeyArray, inputs: int, units: int) -> Float[Array, "inputs units"]: ...


class Uniform(AbstractWeights):
    """w ~ U(−1/√units, 1/√units): the initialiser of PyTorch's recurrent layers, and the default here."""

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


class Identity(AbstractWeights):
    """The identity: unit i has a weight of 1 from input i, and of 0 from all others, as in Le, Jaitly and Hinton (2015)."""

    def __call__(self, key: PRNGKeyArray, inputs: int, units: int) -> Float[Array, "inputs units"]:
        del key
        return jnp.eye(inputs, units)


class Normal(AbstractWeights):
    """w ~ N(0, scale²)."""

    scale: float = 0.1

    def __call__(self, key: PRNGKeyArray, inputs: int, units: int) -> Float[Array, "inputs units"]:
        return self.scale * jax.random.normal(key, (inputs, units))


class AbstractGates(eqx.Module):
    """Draws the log odds, log P(keep) / P(forget), that each unit keeps its state over one step.

    With `tied`, the bias of a separate input gate is the opposite of that of the forget gate.
    """

    tied: ClassVar[bool]

    @abstractmethod
    def __call__(self, key: PRNGKeyArray, units: int) -> Float[Array, " units"]: ...


class Forget(AbstractGates):
    """The same constant for each unit. A forget bias of 1 is usual in an LSTM (Jozefowicz et al., 2015).

    **Arguments:**

    - `bias`: the constant.
    """

    tied: ClassVar[bool] = False
    bias: float = 1.0

    def __call__(self, key: PRNGKeyArray, units: int) -> Float[Array, " units"]:
        del key
        return jnp.full(units, self.bias)


class Chrono(AbstractGates):
    """Forgetting times uniform over the known range of dependencies: log odds = log(T − 1), T ~ U(t_min, t_max).

    For an LSTM b_f = log(U(1, T_max − 1)) and b_i = −b_f, eq. (5.16). For a `Gated` b_g = −log(U(T_min, T_max) − 1). For
    a GRU the bias of the update gate is log(U(T_min, T_max) − 1). A unit then remembers for about T steps.

    Use it if the longest dependency is known up to a factor of a few. If the range is unknown, use `ChronoUnknown`.

    **Arguments:**

    - `t_max`: the longest expected dependency in steps, at least 2. A value far too large slows the learning of short
      dependencies.
    - `t_min`: the shortest expected dependency in steps, at least 2. T = 2 is log odds 0.

    Reference: Tallec and Ollivier, *Can recurrent neural networks warp time?*, ICLR 2018; thesis section 5.2.
    """

    tied: ClassVar[bool] = True
    t_max: float
    t_min: float = 2.0

    def __check_init__(self):
        if self.t_max < 2:
            raise InputError(f"Chrono(t_max={self.t_max}): a dependency lasts at least 2 steps; give t_max >= 2.")
        if not 2 <= self.t_min <= self.t_max:
            raise InputError(f"Chrono(t_min={self.t_min}): give a value between 2 and t_max = {self.t_max}.")

    def __call__(self, key: PRNGKeyArray, units: int) -> Float[Array, " units"]:
        return jnp.log(jax.random.uniform(key, (units,), minval=self.t_min, maxval=self.t_max) - 1)


class ChronoUnknown(AbstractGates):
    """Forgetting times for a task of unknown range: log odds = log T, P(T = k) ∝ 1 / (k log²(k + 1)).

    The distribution decays slowly, so it covers all time scales. T is at most 10⁶, which omits 2 % of the mass.

    Reference: thesis section 5.2, footnote 7.
    """

    tied: ClassVar[bool] = True

    def __call__(self, key: PRNGKeyArray, units: int) -> Float[Array, " units"]:
        k = np.arange(1, 1_000_001, dtype=np.float64)
        cumulative = np.cumsum(1 / (k * np.log(k + 1) ** 2))
        u = jax.random.uniform(key, (units,))
        drawn = jnp.searchsorted(jnp.asarray(cumulative / cumulative[-1], u.dtype), u) + 1
        return jnp.log(drawn.astype(u.dtype))
