"""Selectors choose the later steps that a memory predicts."""

import math
from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from farback.types import InputError, Tally

DRAWS = 16
"""The number of noise sets per episode. Consecutive steps use different sets."""


class SelectedTargets(NamedTuple):
    """The later steps to predict at each step of an episode, and the weight of each: 0 for a step that does not exist."""

    steps: Int[Array, "*time targets"]
    weight: Float[Array, "*time targets"]


class AbstractTargetSelector(eqx.Module):
    """Selects the K steps of highest preference among the steps from t on, or all of them if fewer are left."""

    targets: eqx.AbstractVar[int]

    def __check_init__(self):
        if self.targets < 0:
            raise InputError(f"{type(self).__name__}(targets={self.targets}): give targets >= 0.")

    @abstractmethod
    def preferences(
        self, scores: Float[Array, " time"], mask: Bool[Array, " time"], key: PRNGKeyArray
    ) -> Float[Array, " time draws"]:
        """Returns the preferences for the steps of an episode, in one or several draws."""

    def __call__(self, scores: Float[Array, " time"], mask: Bool[Array, " time"], key: PRNGKeyArray) -> SelectedTargets:
        """Returns the targets of each step of an episode, among steps whose score is not NaN.

        Step t uses draw t mod `draws`.
        """
        known = mask & ~jnp.isnan(scores)
        preferences = jnp.where(known[:, None], self.preferences(scores, known, key), -jnp.inf)
        draws, place = preferences.shape[1], jnp.arange(self.targets)

        @jax.vmap
        def insert(best, preference, step):
            above = jnp.sum(best[0] >= preference)
            return jax.tree.map(
                lambda old, new: jnp.where(place < above, old, jnp.where(place == above, new, jnp.roll(old, 1))),
                best,
                (preference, step),
            )

        def one(best, now):
            preference, step = now
            best = insert(best, preference, jnp.full(draws, step))
            return best, jax.tree.map(lambda leaf: leaf[step % draws], best)

        none = jnp.full((draws, self.targets), -jnp.inf, preferences.dtype), jnp.zeros((draws, self.targets), int)
        found, steps = jax.lax.scan(one, none, (preferences, jnp.arange(len(preferences))), reverse=True)[1]
        return SelectedTargets(steps, jnp.isfinite(found).astype(scores.dtype))


class RandomK(AbstractTargetSelector):
    """K of the steps from t on, uniformly at random: a baseline, the paper's Rnd-Pred.

    **Arguments:**

    - `targets`: K, the number of later steps.
    """

    targets: int = 1

    def preferences(
        self, scores: Float[Array, " time"], mask: Bool[Array, " time"], key: PRNGKeyArray
    ) -> Float[Array, " time draws"]:
        return jax.random.gumbel(key, (*scores.shape, DRAWS))


class TopK(AbstractTargetSelector):
    """K of the steps from t on, drawn without replacement, more likely where the score s is high:

        p(k) ∝ exp(s_k / (τ σ)),  k ≥ t;      σ the standard deviation of s within the episode

    These are the K largest of s_k / (τ σ) + G_k with independent standard Gumbel variables G. An episode has 16 sets of
    them, which its steps use in turn. τ = 0 takes the K steps of highest score. K = 0 predicts no later step: the paper's
    Default.

    **Arguments:**

    - `targets`: K, the number of later steps.
    - `temperature`: τ. The paper has τ = 0.02 for unscaled scores; the authors' code has 0 or 0.25.

    Reference: Sorokin et al., *Explain my surprise: learning efficient long-term memory by predicting uncertain outcomes*,
    NeurIPS 2022, sections 2 and 3; Kool, van Hoof and Welling, *Stochastic beams and where to find them*, ICML 2019.
    """

    targets: int = 1
    temperature: float = 0.0

    def __check_init__(self):
        if not 0 <= self.temperature < math.inf:
            raise InputError(
                f"TopK(temperature={self.temperature}): give 0, for the steps of highest score, or a positive number."
            )

    def preferences(
        self, scores: Float[Array, " time"], mask: Bool[Array, " time"], key: PRNGKeyArray
    ) -> Float[Array, " time draws"]:
        if self.temperature == 0:
            return scores[:, None]
        scaled = scores / (self.temperature * spread(scores, mask))
        return scaled[:, None] + jax.random.gumbel(key, (*scores.shape, DRAWS))


def spread(scores: Float[Array, " time"], mask: Bool[Array, " time"]) -> Float[Array, ""]:
    """Returns the standard deviation of the scores of an episode, or 1 where it is 0."""
    deviation = jnp.std(scores, where=mask)
    return jnp.where(deviation > 0, deviation, 1.0)


def flat_scores(scores: Float[Array, "batch time"], mask: Bool[Array, "batch time"]) -> Tally:
    """Returns the share of episodes whose scores are all equal, so that a selection by score is arbitrary."""
    most = jnp.where(mask, scores, -jnp.inf).max(axis=1)
    least = jnp.where(mask, scores, jnp.inf).min(axis=1)
    same = ((least <= most) & (most - least <= 1e-6 * jnp.abs(most))).astype(scores.dtype)
    return Tally(jnp.sum(same), jnp.sum(jnp.ones_like(same)))
