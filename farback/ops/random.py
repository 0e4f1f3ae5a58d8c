"""Random draws for streams, and the entropy of outcomes."""

import functools
import math
import operator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from farback.ops.batching import batched
from farback.types import Keys

Words = UInt32[Array, "*#size"]


def draw(key: PRNGKeyArray) -> tuple[PRNGKeyArray, UInt32[Array, "2"]]:
    """A stream's next key, and two words of 32 random bits.

    The words are the data of a key that is split off and used for nothing else. They are as random as `jax.random.bits`,
    but save its second hash: hashes dominate the cost of a stream's steps.
    """
    key, spent = jax.random.split(key)
    return key, jax.random.key_data(spent)[:2]


def example_keys(key: Keys, batch: int) -> Keys:
    """One key for each example of a batch: split from one key, or returned as given."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return key if key.ndim == (1 if typed else 2) else jax.random.split(key, batch)


def below(count: int | Int[Array, ""], word: UInt32[Array, ""]) -> Int[Array, ""]:
    """An integer in {0, ..., count − 1}, uniform up to a relative error of count / 2³²."""
    return (word % jnp.asarray(count, jnp.uint32)).astype(int)


def unit(word: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """A number uniform in [0, 1), of 24 bits."""
    return (word >> 8).astype(float) / 2**24


def normal(word: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """A standard Gaussian number, of 24 bits: √2 erf⁻¹(u), u uniform in (−1, 1)."""
    return math.sqrt(2) * jax.lax.erf_inv(2 * unit(word) - (1 - 2**-24))


def words(key: PRNGKeyArray, count: int) -> tuple[UInt32[Array, " count"], UInt32[Array, " count"]]:
    """`count` pairs of independent words of 32 random bits: those of `threefry` for the numbers (i, 0)."""
    first, second = jax.random.key_data(key)
    return threefry(first, second, jnp.arange(count, dtype=jnp.uint32), jnp.zeros(count, jnp.uint32))


def threefry(first: Words, second: Words, left: Words, right: Words) -> tuple[Words, Words]:
    """Two independent words of 32 random bits for a key of two words and two numbers: Threefry-2x32 with 20 rounds.

    It is the hash of `jax.random`, with its rounds written out: on a CPU, `jax.random` runs them as a loop over whole
    arrays, which takes ten times as long.

    Reference: Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, 2011.
    """
    keys = (first, second, first ^ second ^ jnp.uint32(0x1BD11BDA))
    left, right = left + keys[0], right + keys[1]
    for turn in range(5):
        for bits in ((13, 15, 26, 6), (17, 29, 16, 24))[turn % 2]:
            left = left + right
            right = (right << jnp.uint32(bits) | right >> jnp.uint32(32 - bits)) ^ left
        left = left + keys[(turn + 1) % 3]
        right = right + keys[(turn + 2) % 3] + jnp.uint32(turn + 1)
    return left, right


def distinct(count: int, total: int, key: PRNGKeyArray) -> Int[Array, " count"]:
    """`count` distinct integers in {0, ..., total − 1}. Every set is equally likely; the order is not uniform.

    With r_i uniform in {0, ..., n − k + i}, the i-th is r_i, or n − k + i where r_i is among those before it. This
    avoids a sort, which is slow on a CPU.

    Reference: Bentley and Floyd, *Programming pearls: a sample of brilliance*, 1987.
    """
    drawn = jnp.concatenate(words(key, -(-count // 2)))
    chosen: list[Int[Array, ""]] = []
    for last, word in zip(range(total - count, total), drawn[:count], strict=True):
        number = below(last + 1, word)
        taken = functools.reduce(operator.or_, [number == other for other in chosen], jnp.array(False))
        chosen.append(jnp.where(taken, last, number))
    return jnp.array(chosen, int)


def log_gamma(key: PRNGKeyArray, shape: Float[Array, "*size"]) -> Float[Array, "*size"]:
    """Logarithms of independent Gamma(α, 1), one for each α > 0; a softmax of them is a draw from Dirichlet(α).

        d = α + 2/3,     v = (1 + x / √(9d))³ with x ~ N(0, 1) until ln u < x²/2 + d (1 − v + ln v),     u ~ U(0, 1)

        d v ~ Gamma(α + 1),     d v w^(1/α) ~ Gamma(α),     w ~ U(0, 1)

    All are proposed at once, for all keys of a `jax.vmap`; the few that are refused are proposed again.
    `jax.random.loggamma`, with a key and a loop for each number, takes far longer.

    Reference: Marsaglia & Tsang, *A simple method for generating gamma variables*, 2000.
    """
    alpha = shape.ravel()
    first, second = jnp.repeat(jax.random.key_data(key)[:, None], alpha.size, axis=1)
    return _log_gammas(first, second, jnp.arange(alpha.size, dtype=jnp.uint32), alpha).reshape(shape.shape)


@batched
def _log_gammas(first, second, number, alpha):
    """`log_gamma` of independent entries, each with a key of two words and a number."""
    few = alpha.size // 16 + 8

    def some(found):
        """Proposes again for up to `few` of the refused entries, until all of these are accepted."""
        which = jnp.searchsorted(jnp.cumsum(found == REFUSED), 1 + jnp.arange(few))
        theirs = [leaf.at[which].get(mode="clip") for leaf in (first, second, number, alpha)]

        def again(running):
            attempt, found = running
            return attempt + 1, jnp.where(found == REFUSED, _propose(attempt, *theirs), found)

        start = (1, jnp.where(which < alpha.size, REFUSED, 0.0))
        of_them = jax.lax.while_loop(lambda running: (running[1] == REFUSED).any(), again, start)[1]
        return found.at[which].set(of_them, mode="drop")

    return jax.lax.while_loop(lambda found: (found == REFUSED).any(), some, _propose(0, first, second, number, alpha))


REFUSED = -math.inf


def _propose(attempt, first, second, number, alpha):
    """The logarithms of the proposals, or `REFUSED`; u and w have 20 bits."""
    word, other = threefry(first, second, number, jnp.full_like(number, attempt))
    d, x = alpha + 2 / 3, normal(word)
    u, w = (1 - bits.astype(float) / 2**20 for bits in (other >> 12, (other & 0xFFF) << 8 | word & 0xFF))
    root = 1 + x / jnp.sqrt(9 * d)
    log_v = 3 * jnp.log(jnp.maximum(root, 1e-9))
    accepted = (root > 0) & (jnp.log(u) < x * x / 2 + d * (1 - root * root * root + log_v))
    return jnp.where(accepted, jnp.log(d) + log_v + jnp.log(w) / alpha, REFUSED)


def entropy(*counts: float) -> float:
    """N times the entropy, in nats, of the kinds of N = Σ nᵢ outcomes, nᵢ of kind i: Σ nᵢ ln(N / nᵢ)."""
    total = sum(counts)
    return sum(count * math.log(total / count) for count in counts if count)
