"""Exploration: noise on the actions of an agent, whose state travels with the agent."""

import itertools
import math
from abc import abstractmethod
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
from gymnasium.spaces import Box, Space
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from farback.envs.spaces import mapped, names, parts, sample
from farback.ops.schedules import AbstractHyperparameter, LinearSchedule, extremes, value_at
from farback.types import InputError


class AbstractExploration(AbstractHyperparameter):
    """Varies the actions of a policy in one environment, one step at a time; `jax.vmap` runs many.

        state = exploration.initial(space)
        state, action = exploration(space, state, action, first, key)

    Actions stay in their space: numbers are clipped to the bounds of a `Box`.
    """

    @abstractmethod
    def initial(self, space: Space[Any]) -> PyTree[Array]:
        """Returns the state before the first action. Raises if actions of this space cannot be explored in this way."""

    @abstractmethod
    def __call__(
        self, space: Space[Any], state: PyTree[Array], action: Any, first: Any, key: PRNGKeyArray
    ) -> tuple[PyTree[Array], Any]:
        """Returns `(state, action)`.

        **Arguments:**

        - `space`: the action space.
        - `state`: the state after the action before.
        - `action`: the action of the policy, an element of the space.
        - `first`: whether this is the first step of an episode.
        - `key`: the key of this step.
        """


class NoExploration(AbstractExploration):
    """The actions of the policy, a′ = a. Use it for a policy that samples its actions, which explores by itself."""

    def initial(self, space: Space[Any]) -> PyTree[Array]:
        del space
        return ()

    def __call__(
        self, space: Space[Any], state: PyTree[Array], action: Any, first: Any, key: PRNGKeyArray
    ) -> tuple[PyTree[Array], Any]:
        del space, first, key
        return state, action


class AbstractNoise(AbstractExploration):
    """Exploration that adds noise to continuous actions. Discrete parts of an action do not change."""


class GaussianNoise(AbstractNoise):
    """Independent Gaussian noise on continuous actions, as in TD3.

        a′ = clip(a + σ ε, low, high),      ε ~ N(0, I)

    Do not use it where only an action that lasts for many steps has an effect:
    use `OrnsteinUhlenbeck`.

    **Arguments:**

    - `std`: σ, in units of the action. TD3 has 0.1 for actions between −1 and 1.

    Reference: Fujimoto, van Hoof and Meger, *Addressing function approximation error in actor-critic methods*, ICML 2018.
    """

    std: float = 0.1

    def __check_init__(self):
        if not 0 <= self.std < math.inf:
            raise InputError(f"GaussianNoise(std={self.std}): give a finite std >= 0.")

    def initial(self, space: Space[Any]) -> PyTree[Array]:
        _check_continuous(self, space)
        return ()

    def __call__(
        self, space: Space[Any], state: PyTree[Array], action: Any, first: Any, key: PRNGKeyArray
    ) -> tuple[PyTree[Array], Any]:
        del first
        return state, _with_noise(space, action, self.std * jax.random.normal(key, (_numbers(space),)))


class OrnsteinUhlenbeck(AbstractNoise):
    """Noise on continuous actions that is correlated in time, as in DDPG: dx = −θ x dt + σ dW.

        x ← e^{−θ dt} x + σ √((1 − e^{−2 θ dt}) / (2 θ)) ε,      ε ~ N(0, I)
        a′ = clip(a + x, low, high)

    x begins at 0. Its variance tends to σ² / (2 θ), and its correlation over a time τ to e^{−θ τ}. The step is the exact
    solution over a time dt, not Euler's, so these do not depend on dt.

    The Euler step of DDPG and of deep memory states, x ← (1 − θ) x + σ ε, is the exact step for a dt of 1 and the rates
    θ′ = −ln(1 − θ) and σ′ = σ √(2 θ′ / (2 θ − θ²)): for θ = 0.15, `OrnsteinUhlenbeck(0.1625, 1.082 σ)`.

    **Arguments:**

    - `theta`: θ, the rate at which the noise is forgotten, per unit of time.
    - `sigma`: σ, the noise that is added, in units of the action per square root of a unit of time.
    - `dt`: the time of a step. With a dt of 1, θ and σ are per step.
    - `reset`: whether x is 0 again before the first step of each episode, as in DDPG and in deep memory states. In deep
      advantage updating, it runs on from one episode to the next.

    Reference: Uhlenbeck and Ornstein, *On the theory of the Brownian motion*, 1930; Lillicrap et al., *Continuous control
    with deep reinforcement learning*, ICLR 2016; Tallec, Blier and Ollivier, *Making deep Q-learning methods robust to time
    discretization*, ICML 2019.
    """

    theta: float = 0.15
    sigma: float = 0.2
    dt: float = 1.0
    reset: bool = True

    def __check_init__(self):
        if not (0 < self.theta < math.inf and 0 <= self.sigma < math.inf and 0 < self.dt < math.inf):
            raise InputError(
                f"OrnsteinUhlenbeck(theta={self.theta}, sigma={self.sigma}, dt={self.dt}): give finite theta > 0, "
                f"sigma >= 0 and dt > 0."
            )

    def initial(self, space: Space[Any]) -> Float[Array, " numbers"]:
        _check_continuous(self, space)
        return jnp.zeros(_numbers(space))

    def __call__(
        self, space: Space[Any], state: Float[Array, " numbers"], action: Any, first: Any, key: PRNGKeyArray
    ) -> tuple[Float[Array, " numbers"], Any]:
        angle = self.theta * self.dt
        scale = self.sigma * jnp.sqrt(-jnp.expm1(-2 * angle) / (2 * self.theta))
        before = jnp.where(first & self.reset, 0, state)
        noise = jnp.exp(-angle) * before + scale * jax.random.normal(key, state.shape)
        return noise, _with_noise(space, action, noise)


class EpsilonGreedy(AbstractExploration):
    """With probability ε, an action drawn uniformly from the whole space; otherwise the action of the policy.

    All parts of an action are replaced together. Of n discrete actions, that of the policy is taken with a probability of
    1 − ε + ε / n.

    Do not use it with short time steps: the effects of the random actions average out (Tallec et al., ICML 2019).

    **Arguments:**

    - `epsilon`: ε, a number from 0 to 1, or a LinearSchedule.

    Reference: Mnih et al., *Human-level control through deep reinforcement learning*, Nature 518, 2015.
    """

    epsilon: float | LinearSchedule = 0.1

    def __check_init__(self):
        if not all(0 <= value <= 1 for value in extremes(self.epsilon)):
            raise InputError(f"EpsilonGreedy(epsilon={self.epsilon}): it is a probability; give 0 <= epsilon <= 1.")

    def initial(self, space: Space[Any]) -> PyTree[Array]:
        if all(_is_continuous(part) for part, _ in parts(space, names(space))):
            raise InputError(
                f"EpsilonGreedy: all actions of {space} are continuous, and a uniform one is far from that of the policy; "
                f"give OrnsteinUhlenbeck() or GaussianNoise(0.1)."
            )
        return ()

    def __call__(
        self, space: Space[Any], state: PyTree[Array], action: Any, first: Any, key: PRNGKeyArray
    ) -> tuple[PyTree[Array], Any]:
        del first
        whether_key, sample_key = jax.random.split(key)
        explores = jax.random.bernoulli(whether_key, value_at(self.epsilon))
        drawn = sample(space, sample_key)
        return state, jax.tree.map(lambda new, old: jnp.where(explores, new.astype(old.dtype), old), drawn, action)


def _continuous(space: Space[Any]) -> list[Box]:
    """The parts of a space that are a `Box` of floats, in order."""
    return [part for part, _ in parts(space, names(space)) if _is_continuous(part)]


def _is_continuous(space: Space[Any]) -> TypeGuard[Box]:
    return isinstance(space, Box) and jnp.issubdtype(space.dtype, jnp.floating)


def _numbers(space: Space[Any]) -> int:
    """The number of continuous numbers in an action."""
    return sum(math.prod(part.shape) for part in _continuous(space))


def _check_continuous(exploration: AbstractExploration, space: Space[Any]) -> None:
    if not _continuous(space):
        raise InputError(
            f"{type(exploration).__name__}: {space} has no Box of floats, which the noise is added to; give "
            f"EpsilonGreedy(0.1) for discrete actions, or NoExploration()."
        )


def _with_noise(space: Space[Any], action: Any, noise: Float[Array, " numbers"]) -> Any:
    """Adds consecutive numbers of `noise` to the continuous parts of an action, and clips them to their bounds."""
    ends = itertools.accumulate(math.prod(part.shape) for part in _continuous(space))
    pieces = iter(jnp.split(noise, list(ends)))

    def one(part, action):
        if not _is_continuous(part):
            return action
        moved = action + next(pieces).reshape(part.shape).astype(action.dtype)
        return jnp.clip(moved, *(jnp.asarray(bound, action.dtype) for bound in (part.low, part.high)))

    return mapped(one, space, action)
