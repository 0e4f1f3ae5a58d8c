"""Anticipated reweighted truncated backpropagation."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from engram.estimators.base import AbstractEstimator, example_keys, initial_state
from engram.estimators.reverse import reverse_gradient
from engram.step import AbstractStep, Model
from engram.types import Carry, InputError, Keys, Outcome, Window


class ARTBP(AbstractEstimator):
    """Anticipated reweighted truncated backpropagation: truncates at random, and reweights so as to stay unbiased.

        c_t = (α − 1) / ((α − 2) L₀ + δt)                                                                    (4.14)
        δℓ̃_t = ∂ℓ_t/∂s_t + 1[X_t = 0] / (1 − c_t) · δℓ̃_{t+1} ∂s_{t+1}/∂s_t,     X_t ~ Bernoulli(c_t)           (4.11)

    where δt = 1, 2, ... counts the steps since the last truncation. The mean length between truncations is L₀ exactly,
    and its variance is finite for α > 3. Each example of a batch is truncated by itself. E[g̃] is the gradient of BPTT
    over the same window; the window's end cuts credit as BPTT's does, so give windows much longer than `mean_length`.

    Use it where truncation's bias hurts and the chance of a long window can be paid for. Clipping its gradient, or
    dividing by the random length, brings the bias back.

    **Arguments:**

    - `mean_length`: L₀, at least 1, where it is TBPTT(1) and, alone of all, biased.
    - `alpha`: α > 2, how light the tail of the lengths is: P(length > L) falls as L^{1−α}, while the weights of a segment
      of length L grow as L^{α−1}. The thesis uses 4 and 6.

    Reference: Tallec and Ollivier, *Unbiasing truncated backpropagation through time*, 2017; thesis chapter 4.
    """

    mean_length: float
    alpha: float = 4.0

    def __check_init__(self):
        if not self.mean_length >= 1:
            raise InputError(
                f"ARTBP(mean_length={self.mean_length}): credit passes at least 1 step; give mean_length >= 1."
            )
        if not self.alpha > 2:
            raise InputError(
                f"ARTBP(alpha={self.alpha}): the law of truncations (4.14) needs alpha > 2; the thesis uses 4 and 6."
            )

    @property
    def random(self) -> bool:
        return True

    def init(self, step: AbstractStep, model: Model, window: Window) -> Carry:
        return Carry(initial_state(step, model, window))

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        batch, steps = window.first.shape
        flow = jax.vmap(lambda key: self.flow(steps, key))(example_keys(key, batch))
        return reverse_gradient(step, model, carry, window, flow)

    def odds(self, since: Float[Array, "*times"]) -> Float[Array, "*times"]:
        """c_t, the chance of a truncation so many steps after the last one, (4.14)."""
        return (self.alpha - 1) / ((self.alpha - 2) * self.mean_length + since)

    def flow(self, steps: int, key: PRNGKeyArray) -> Float[Array, " time"]:
        """The factor on the credit that passes from each step to the one before it: 0, or 1 / (1 − c)."""

        def after(since, u):
            c = self.odds(since)
            truncated = u < c
            return jnp.where(truncated, 1.0, since + 1), jnp.where(truncated, 0.0, 1 / (1 - c))

        _, flow = jax.lax.scan(after, jnp.ones(()), jax.random.uniform(key, (steps,)))
        return jnp.roll(flow, 1)  # X_t rules what passes from t + 1 to t
