"""Chance: how a stream draws, and what chance costs to predict."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32


def draw(key: PRNGKeyArray) -> tuple[PRNGKeyArray, UInt32[Array, "2"]]:
    """A stream's next key, and two words of 32 random bits.

    The words are those of a key that is split off and used for nothing else: as random as any, without the second hash that
    `jax.random.bits` would take, and a stream's hashes are what its steps cost.
    """
    key, spent = jax.random.split(key)
    return key, jax.random.key_data(spent)[:2]


def below(count: int | Int[Array, ""], word: UInt32[Array, ""]) -> Int[Array, ""]:
    """An integer in {0, ..., count − 1}, each as likely as any other but for count parts in 2³²."""
    return (word % jnp.asarray(count, jnp.uint32)).astype(int)


def unit(word: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """A number uniform in [0, 1), of 24 bits."""
    return (word >> 8).astype(float) / 2**24


def normal(word: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """A standard Gaussian number, of 24 bits: √2 erf⁻¹(u), u uniform in (−1, 1)."""
    return math.sqrt(2) * jax.lax.erf_inv(2 * unit(word) - (1 - 2**-24))


def words(key: PRNGKeyArray, count: int) -> tuple[UInt32[Array, " count"], UInt32[Array, " count"]]:
    """Two independent words of 32 random bits, `count` times: Threefry-2x32 of the numbers (i, 0), with 20 rounds.

    The function is the one that hashes inside of `jax.random`, its rounds written out: on a CPU, `jax.random` runs them as
    a loop over whole arrays, which takes ten times as long.

    Reference: Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, 2011.
    """
    first, second = jax.random.key_data(key)
    keys = (first, second, first ^ second ^ jnp.uint32(0x1BD11BDA))
    left = jnp.arange(count, dtype=jnp.uint32) + keys[0]
    right = jnp.full(count, keys[1])
    for turn in range(5):
        for bits in ((13, 15, 26, 6), (17, 29, 16, 24))[turn % 2]:
            left = left + right
            right = (right << jnp.uint32(bits) | right >> jnp.uint32(32 - bits)) ^ left
        left = left + keys[(turn + 1) % 3]
        right = right + keys[(turn + 2) % 3] + jnp.uint32(turn + 1)
    return left, right


def log_gamma(key: PRNGKeyArray, shape: Float[Array, "*size"]) -> Float[Array, "*size"]:
    """Logarithms of independent Gamma(α, 1), one for each α > 0; a softmax of them is a draw from Dirichlet(α).

        d = α + 2/3,     v = (1 + x / √(9d))³ with x ~ N(0, 1) until ln u < x²/2 + d (1 − v + ln v),     u ~ U(0, 1)

        d v ~ Gamma(α + 1),     d v w^(1/α) ~ Gamma(α),     w ~ U(0, 1)

    All are proposed at once, and again until the last is accepted, each keeping what was accepted first. That is a few
    times what is needed, and a tenth at most of what `jax.random.loggamma` takes, which has a key and a loop for each.

    Reference: Marsaglia & Tsang, *A simple method for generating gamma variables*, 2000.
    """
    alpha = shape.ravel()
    d = alpha + 2 / 3

    def propose(running):
        count, found, left = running
        for_x, for_u = words(jax.random.fold_in(key, count), alpha.size)
        x = normal(for_x)
        root = 1 + x / jnp.sqrt(9 * d)
        log_v = 3 * jnp.log(jnp.maximum(root, 1e-9))
        accepted = (root > 0) & (jnp.log(1 - unit(for_u)) < x * x / 2 + d * (1 - root * root * root + log_v))
        return count + 1, jnp.where(left, log_v, found), left & ~accepted

    start = (1, jnp.zeros(alpha.size), jnp.ones(alpha.size, bool))
    found = jax.lax.while_loop(lambda running: running[2].any(), propose, start)[1]
    w = 1 - unit(words(jax.random.fold_in(key, 0), alpha.size)[0])
    return (jnp.log(d) + found + jnp.log(w) / alpha).reshape(shape.shape)


def entropy(*counts: float) -> float:
    """The nats it takes to tell of what kind each of N = Σ nᵢ outcomes is: Σ nᵢ ln(N / nᵢ), where nᵢ are of kind i."""
    total = sum(counts)
    return sum(count * math.log(total / count) for count in counts if count)
