"""Which steps of the future a memory is asked about: the most surprising ones."""

import math
from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from engram.types import InputError

DRAWS = 16  # of the noise of an episode: steps that follow on each other choose by different ones


class Chosen(NamedTuple):
    """Steps to be asked about at each step of an episode, and whether each of them is (1 or 0)."""

    steps: Int[Array, "*time questions"]
    weight: Float[Array, "*time questions"]


class AbstractChoice(eqx.Module):
    """K of the steps from t on, those of the highest scores. Where fewer than K are left, there are fewer questions."""

    targets: eqx.AbstractVar[int]

    def __check_init__(self):
        if self.targets < 0:
            shown = f"{type(self).__name__}(targets={self.targets})"
            raise InputError(f"{shown}: so many steps cannot be asked about; give 0 or more.")

    @abstractmethod
    def scores(
        self, surprise: Float[Array, " time"], counts: Bool[Array, " time"], key: PRNGKeyArray
    ) -> Float[Array, " time draws"]:
        """The scores of the steps of an episode, of which some count, in one or several draws."""

    def __call__(self, surprise: Float[Array, " time"], counts: Bool[Array, " time"], key: PRNGKeyArray) -> Chosen:
        """What is asked about at each step of an episode, of its steps that count, and whose surprise is a number. The
        draws are used in turns.
        """
        known = counts & ~jnp.isnan(surprise)
        scores = jnp.where(known[:, None], self.scores(surprise, known, key), -jnp.inf)
        draws, place = scores.shape[1], jnp.arange(self.targets)

        @jax.vmap
        def insert(best, score, step):
            above = jnp.sum(best[0] >= score)
            return jax.tree.map(
                lambda old, new: jnp.where(place < above, old, jnp.where(place == above, new, jnp.roll(old, 1))),
                best,
                (score, step),
            )

        def one(best, now):
            score, step = now
            best = insert(best, score, jnp.full(draws, step))
            return best, jax.tree.map(lambda leaf: leaf[step % draws], best)

        none = jnp.full((draws, self.targets), -jnp.inf, scores.dtype), jnp.zeros((draws, self.targets), int)
        found, steps = jax.lax.scan(one, none, (scores, jnp.arange(len(scores))), reverse=True)[1]
        return Chosen(steps, jnp.isfinite(found).astype(surprise.dtype))


class AtRandom(AbstractChoice):
    """K of the steps from t on, all being as likely: what the paper calls Rnd-Pred, to compare with.

    **Arguments:**

    - `targets`: K.
    """

    targets: int = 1

    def scores(
        self, surprise: Float[Array, " time"], counts: Bool[Array, " time"], key: PRNGKeyArray
    ) -> Float[Array, " time draws"]:
        return jax.random.gumbel(key, (*surprise.shape, DRAWS))


class Surprising(AbstractChoice):
    """K of the steps from t on, by how surprising they are:

        p(k) ∝ exp(s_k / (τ σ)),  k ≥ t, without replacement;      σ the deviation of s within the episode

    by the K largest of s_k / (τ σ) + G_k, with independent standard Gumbel numbers G; an episode has 16 sets of
    them, used in turns. τ = 0 takes the K most surprising ones. Nothing is asked of the future with K = 0: what the
    paper calls Default.

    **Arguments:**

    - `targets`: K.
    - `temperature`: τ. The paper's τ = 0.02 is for surprises as they are; the authors' code has the K largest, or 0.25.

    Reference: Sorokin et al., *Explain my surprise: learning efficient long-term memory by predicting uncertain outcomes*,
    NeurIPS 2022, sections 2 and 3; Kool, van Hoof and Welling, *Stochastic beams and where to find them*, ICML 2019.
    """

    targets: int = 1
    temperature: float = 0.0

    def __check_init__(self):
        if not 0 <= self.temperature < math.inf:
            raise InputError(f"Surprising(temperature={self.temperature}): give 0, for the most surprising, or more.")

    def scores(
        self, surprise: Float[Array, " time"], counts: Bool[Array, " time"], key: PRNGKeyArray
    ) -> Float[Array, " time draws"]:
        if self.temperature == 0:
            return surprise[:, None]
        scaled = surprise / (self.temperature * spread(surprise, counts))
        return scaled[:, None] + jax.random.gumbel(key, (*surprise.shape, DRAWS))


def spread(surprise: Float[Array, " time"], counts: Bool[Array, " time"]) -> Float[Array, ""]:
    """The deviation of surprises over the steps that count; 1 where there is none, so that all are alike."""
    deviation = jnp.std(surprise, where=counts)
    return jnp.where(deviation > 0, deviation, 1.0)
