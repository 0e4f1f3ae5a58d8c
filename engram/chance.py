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


def unit(word: UInt32[Array, ""]) -> Float[Array, ""]:
    """A number uniform in [0, 1), of 24 bits."""
    return (word >> 8).astype(float) / 2**24


def normal(word: UInt32[Array, ""]) -> Float[Array, ""]:
    """A standard Gaussian number, of 24 bits: √2 erf⁻¹(u), u uniform in (−1, 1)."""
    return math.sqrt(2) * jax.lax.erf_inv(2 * unit(word) - (1 - 2**-24))


def entropy(*counts: float) -> float:
    """The nats it takes to tell of what kind each of N = Σ nᵢ outcomes is: Σ nᵢ ln(N / nᵢ), where nᵢ are of kind i."""
    total = sum(counts)
    return sum(count * math.log(total / count) for count in counts if count)
