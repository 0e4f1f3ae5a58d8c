"""Backpropagation through time."""

import math

import jax.numpy as jnp

from farback.cell import State
from farback.estimators.base import AbstractEstimator, initial_state, require_multiple
from farback.estimators.reverse import reverse_gradient
from farback.step import AbstractStep, Model
from farback.types import Carry, InputError, Keys, Outcome, Window


class BPTT(AbstractEstimator):
    """Backpropagation through time: the exact gradient of the window, with the state before the window as a constant.

        δℓ_t = ∂ℓ_t/∂s_t + δℓ_{t+1} ∂s_{t+1}/∂s_t,      g = Σ_t δℓ_t ∂F/∂θ(x_t, s_{t−1}, θ)

    Memory grows with the window. Use it where the window contains the dependency; longer dependencies are not learned. If
    the window does not fit into memory, set `segmented=True`.

    **Arguments:**

    - `segmented`: store only about √T states of a window of T steps, and compute the others again: memory ∝ √T, at the cost
      of one more forward pass.

    Reference: Werbos, *Backpropagation through time*, 1990; Chen et al., *Training deep nets with sublinear memory cost*,
    2016.
    """

    segmented: bool = False

    @property
    def random(self) -> bool:
        return False

    def init(self, step: AbstractStep, model: Model, window: Window, state: State | None = None) -> Carry:
        return Carry(initial_state(step, model, window, state))

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        del key
        steps = window.first.shape[1]
        segment = math.isqrt(steps) if self.segmented else None
        return reverse_gradient(step, model, carry, window, jnp.ones(window.first.shape), segment)


class TBPTT(AbstractEstimator):
    """Truncated backpropagation through time: credit stops at every `length`-th step.

        δℓ_t = ∂ℓ_t/∂s_t + 1[length ∤ t] · δℓ_{t+1} ∂s_{t+1}/∂s_t

    It is cheap and without noise, and biased towards short-term effects: where these have the opposite sign of the
    long-term effects, training diverges at every step size. Use it where no dependency is longer than `length` steps.

    **Arguments:**

    - `length`: the number of steps after which credit stops. The length of a window must be a multiple of it.

    Reference: Williams and Peng, *An efficient gradient-based algorithm for on-line training of recurrent network
    trajectories*, 1990.
    """

    length: int

    def __check_init__(self):
        if self.length < 1:
            raise InputError(f"TBPTT(length={self.length}): a segment has at least 1 step; give length >= 1.")

    @property
    def random(self) -> bool:
        return False

    def init(self, step: AbstractStep, model: Model, window: Window, state: State | None = None) -> Carry:
        return Carry(initial_state(step, model, window, state))

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        del key
        require_multiple(window, self.length, f"TBPTT({self.length})")
        flow = (jnp.arange(window.first.shape[1]) % self.length != 0).astype(float)
        return reverse_gradient(step, model, carry, window, jnp.broadcast_to(flow, window.first.shape))
