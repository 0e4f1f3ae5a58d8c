"""Heads, which map the output of a memory to the parameters of a policy and to a value."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from gymnasium.spaces import Space
from jaxtyping import Array, Float, PRNGKeyArray

from farback.ops.distributions import log_std_size, parameter_size
from farback.types import InputError


class PolicyHead(eqx.Module):
    """The linear layer that ends a policy; `farback.ops.distributions.distribution` reads its output.

        vector = W x + b,      initially W is 0.01 times the usual one, b = 0

    so that the actions are almost equally likely initially. The vector has the logits of discrete actions and the means of
    continuous ones. The logarithm of the standard deviation of continuous actions does not depend on x: it is a parameter,
    initially 0.

    **Arguments:**

    - `features`: the length of x.
    - `action_space`: Discrete, MultiDiscrete, MultiBinary, a Box of floats, or a Dict or Tuple of these.

    **Returns:** the vector or, if a part of the actions is continuous, `(vector, log_std)`.

    Reference: Schulman et al., *Proximal policy optimization algorithms*, 2017, section 6.1; small weights: Andrychowicz et
    al., *What matters for on-policy deep actor-critic methods?*, ICLR 2021.
    """

    linear: Callable[[Array], Array]
    log_std: Float[Array, " numbers"] | None

    def __init__(self, features: int, action_space: Space[Any], *, key: PRNGKeyArray):
        _require_features("PolicyHead", features)
        size, numbers = parameter_size(action_space), log_std_size(action_space)
        linear = eqx.nn.Linear(features, size, key=key)
        small = (0.01 * linear.weight, jnp.zeros(size))
        self.linear = eqx.tree_at(lambda layer: (layer.weight, layer.bias), linear, small)
        self.log_std = jnp.zeros(numbers) if numbers else None

    def __call__(self, x: Float[Array, " features"]) -> Any:
        vector = self.linear(x)
        return vector if self.log_std is None else (vector, self.log_std)


class ValueHead(eqx.Module):
    """The linear layer that ends a critic: v = w · x + b, a scalar.

    **Arguments:**

    - `features`: the length of x.
    """

    linear: Callable[[Array], Array]

    def __init__(self, features: int, *, key: PRNGKeyArray):
        _require_features("ValueHead", features)
        self.linear = eqx.nn.Linear(features, "scalar", key=key)

    def __call__(self, x: Float[Array, " features"]) -> Float[Array, ""]:
        return self.linear(x)


class ActorCriticOutput(NamedTuple):
    """The output of an actor-critic at one step.

    - `policy`: the parameters of the policy, which `distribution` reads.
    - `value`: the estimate of the return.
    """

    policy: Any
    value: Any


class ActorCriticHead(eqx.Module):
    """A policy head and a value head that read the same features.

    **Arguments:**

    - `policy`: maps features to the parameters of the policy, such as a `PolicyHead`.
    - `value`: maps features to a scalar, such as a `ValueHead`.
    """

    policy: Callable[[Any], Any]
    value: Callable[[Any], Any]

    def __call__(self, x: Any) -> ActorCriticOutput:
        return ActorCriticOutput(self.policy(x), self.value(x))


def _require_features(head: str, features: Any) -> None:
    if not isinstance(features, int) or features < 1:
        raise InputError(
            f"{head}(features={features!r}): it is the length of the vector that the head reads; give a whole number of at "
            f"least 1, such as output_size(memory, inputs)."
        )
