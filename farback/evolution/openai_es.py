"""OpenAI-ES: a gradient from the returns of random changes."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from farback.envs.base import AbstractEnv
from farback.evolution.base import AbstractEvolution
from farback.ops.optimizers import Optimizer, descend
from farback.step import Model
from farback.types import InputError


class OpenAIES(AbstractEvolution):
    """Follows the gradient of the mean return of random changes of the parameters, estimated from their returns:

        θ_k = θ + σ ε_k,  ε_k ~ N(0, I);      g = −1/(σ λ) Σ_k A_k ε_k,      A_k = (R_k − mean R) / std R

    The optimizer makes a step with g: with sgd(α), this is Algorithm 3 of the thesis. With `mirrored`, the changes come in
    pairs ε, −ε, which halves the noise that they share. With `ranks`, A_k is the rank of R_k, from −½ to ½, so that an
    exceptional return counts no more than a good one. Use it where there are too many parameters for `CMAES`.

    **Arguments:**

    - `env`: the environment, in JAX, such as CartPole().
    - `network`: the network, a maker `network(env, key=key)` such as an `ActionNetwork`.
    - `optimizer`: the optimizer, such as adam(1e-2). In Python, an optax gradient transformation.
    - `population`: λ, the number of candidates of a generation, at least 4.
    - `episodes`: the number of episodes of each candidate, in the same worlds for all.
    - `noise`: σ, the standard deviation of the changes.
    - `mirrored`: whether the changes come in pairs.
    - `ranks`: whether returns are replaced by their ranks.

    References: Salimans et al., *Evolution strategies as a scalable alternative to reinforcement learning*, 2017; Tallec,
    *Recurrent neural networks and reinforcement learning: dynamic approaches*, 2019, Algorithm 3.
    """

    env: AbstractEnv
    network: Callable[..., Model]
    optimizer: Optimizer = optax.adam(1e-2)
    population: int = 64
    episodes: int = 4
    noise: float = 0.1
    mirrored: bool = True
    ranks: bool = False

    def __check_init__(self):
        if not 0 < self.noise < math.inf:
            raise InputError(f"OpenAIES(noise={self.noise}): give a finite noise > 0.")
        if self.mirrored and self.population % 2:
            raise InputError(
                f"OpenAIES(population={self.population}): mirrored changes come in pairs; give an even number."
            )

    def begin(self, mean: Float[Array, " parameters"]) -> PyTree:
        return self.optimizer.init(mean)

    def ask(
        self, search: PyTree, mean: Float[Array, " parameters"], key: PRNGKeyArray
    ) -> Float[Array, "population parameters"]:
        del search
        count = self.population // 2 if self.mirrored else self.population
        change = self.noise * jax.random.normal(key, (count, len(mean)), mean.dtype)
        return mean + (jnp.concatenate([change, -change]) if self.mirrored else change)

    def tell(
        self,
        search: PyTree,
        mean: Float[Array, " parameters"],
        candidates: Float[Array, "population parameters"],
        returns: Float[Array, " population"],
    ) -> tuple[PyTree, Float[Array, " parameters"], dict[str, Float[Array, ""]]]:
        if self.ranks:
            returns = jnp.argsort(jnp.argsort(returns)).astype(mean.dtype) / (self.population - 1)
        spread = 1.0 if self.ranks else jnp.std(returns)
        advantages = (returns - jnp.mean(returns)) / jnp.where(spread > 0, spread, 1)
        gradient = -advantages @ (candidates - mean) / (self.noise**2 * self.population)
        mean, search = descend(self.optimizer, mean, search, gradient, -jnp.mean(returns))
        return search, mean, {"losses/grad_norm": jnp.linalg.norm(gradient)}
