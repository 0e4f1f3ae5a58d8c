"""Anticipated reweighted truncated backpropagation."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from farback.cell import State
from farback.estimators.base import AbstractEstimator, initial_state
from farback.estimators.reverse import reverse_gradient
from farback.ops.random import example_keys
from farback.step import AbstractStep, Model
from farback.types import Carry, InputError, Keys, Outcome, Window


class ARTBP(AbstractEstimator):
    """Anticipated reweighted truncated backpropagation: random truncations, and weights that keep the gradient unbiased.

        c_t = (α − 1) / ((α − 2) L₀ + δt)                                                                    (4.14)
        δℓ̃_t = ∂ℓ_t/∂s_t + 1[X_t = 0] / (1 − c_t) · δℓ̃_{t+1} ∂s_{t+1}/∂s_t,     X_t ~ Bernoulli(c_t)           (4.11)

    where δt = 1, 2, ... counts the steps since the last truncation. The mean length between truncations is exactly L₀,
    and its variance is finite for α > 3. Each example of a batch has its own truncations. E[g̃] is the gradient of BPTT
    over the same window. The end of the window cuts credit, as in BPTT, so use windows much longer than `mean_length`.

    Use it where the bias of truncation hurts, and an occasional long segment is affordable. Clipping the gradient, or
    dividing it by the random length, makes it biased again.

    **Arguments:**

    - `mean_length`: L₀ >= 1, the mean number of steps between truncations. L₀ = 1 is TBPTT(1), which is biased.
    - `alpha`: α > 2. A larger α makes long segments rarer, and their weights larger: P(length > L) falls as L^{1−α}, and
      the weights of a segment of length L grow as L^{α−1}. The thesis uses 4 and 6.

    Reference: Tallec and Ollivier, *Unbiasing truncated backpropagation through time*, 2017; thesis chapter 4.
    """

    mean_length: float
    alpha: float = 4.0

    def __check_init__(self):
        if not self.mean_length >= 1:
            raise InputError(
                f"ARTBP(mean_length={self.mean_length}): a segment has at least 1 step; give mean_length >= 1."
            )
        if not self.alpha > 2:
            raise InputError(
                f"ARTBP(alpha={self.alpha}): the truncation probability (4.14) needs alpha > 2; the thesis uses 4 and 6."
            )

    @property
    def random(self) -> bool:
        return True

    def init(self, step: AbstractStep, model: Model, window: Window, state: State | None = None) -> Carry:
        return Carry(initial_state(step, model, window, state))

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        batch, steps = window.first.shape
        flow = jax.vmap(lambda key: self.flow(steps, key))(example_keys(key, batch))
        return reverse_gradient(step, model, carry, window, flow)

    def odds(self, since: Float[Array, "*times"]) -> Float[Array, "*times"]:
        """c_t, the probability of a truncation, from the number of steps since the last one, eq. (4.14)."""
        return (self.alpha - 1) / ((self.alpha - 2) * self.mean_length + since)

    def flow(self, steps: int, key: PRNGKeyArray) -> Float[Array, " time"]:
        """The factor on the credit from each step to the step before it: 0, or 1 / (1 − c)."""

        def after(since, u):
            c = self.odds(since)
            truncated = u < c
            return jnp.where(truncated, 1.0, since + 1), jnp.where(truncated, 0.0, 1 / (1 - c))

        _, flow = jax.lax.scan(after, jnp.ones(()), jax.random.uniform(key, (steps,)))
        return jnp.roll(flow, 1)  # X_t is for the credit from t + 1 to t
