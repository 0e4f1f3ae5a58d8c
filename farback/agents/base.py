"""The agent interface: an algorithm with an environment and a policy."""

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from farback.acting import AbstractPolicy, evaluate, watch
from farback.algorithm import AbstractAlgorithm, Criterion, Timeline
from farback.envs.base import AbstractEnv
from farback.envs.spaces import sample
from farback.step import Metrics, Model
from farback.types import InputError, Split, Tally


class AbstractAgent(AbstractAlgorithm):
    """An algorithm that learns a policy in an environment. Its criterion is the return of whole episodes."""

    env: eqx.AbstractVar[AbstractEnv]

    @abstractmethod
    def policy(self, network: Model) -> AbstractPolicy:
        """Returns the policy of a network, for evaluation and acting."""

    @abstractmethod
    def timeline_metrics(self, extras: Any) -> dict[str, Any]:
        """Returns the metrics of a timeline that come from the policy's extras, by their names in the log."""

    @property
    def criterion(self) -> Criterion:
        levels = {"optimum": self.env.optimum, "memoryless": self.env.memoryless, "random": self.env.random}
        known = {name: value for name, value in levels.items() if math.isfinite(value)}
        return Criterion("charts/episodic_return", False, known)

    @property
    def evaluation_unit(self) -> Literal["steps", "episodes"]:
        return "episodes"

    @property
    def episode_length(self) -> int | None:
        """The steps of the longest episode, and one more for its last observation."""
        return None if self.env.max_episode_steps is None else self.env.max_episode_steps + 1

    @property
    def acts(self) -> bool:
        return True

    def split(self, part: Split = "test") -> "AbstractAgent":
        del part
        return dataclasses.replace(self, env=self.env.eval_env)

    def in_env(self, env: AbstractEnv) -> "AbstractAgent":
        """Returns the agent in another environment with the same observations and actions."""
        for name in ("observation_space", "action_space"):
            known, other = getattr(self.env, name), getattr(env, name)
            if known != other:
                raise InputError(
                    f"{type(env).__name__} has the {name} {other}, but the agent was trained with {known}; give an "
                    f"environment with the same spaces."
                )
        return dataclasses.replace(self, env=env)

    def evaluate(self, network: Model, key: PRNGKeyArray, amount: int) -> Metrics:
        found = evaluate(self.env, self.policy(network), key, amount)
        each = jnp.ones_like(found.returns)
        lengths = found.lengths.astype(found.returns.dtype)
        return {"charts/episodic_return": Tally(found.returns, each), "charts/episodic_length": Tally(lengths, each)}

    def timeline(self, network: Model, key: PRNGKeyArray, steps: int) -> Timeline:
        found = watch(self.env, self.policy(network), key, steps)
        counts = (~found.steps.last).astype(found.steps.reward.dtype)
        metrics = {"charts/reward": Tally(counts * found.steps.reward, counts)}
        shown = self.timeline_metrics(found.steps.extras)
        metrics |= {name: Tally(value, jnp.ones_like(value)) for name, value in shown.items()}
        cue = found.cue & ~found.steps.last
        observation, action = found.steps.observation, found.steps.action
        return Timeline(found.steps.first, cue, observation, action, found.policy_state, metrics, found.world)

    def render_steps(self, timeline: Timeline) -> list[str]:
        return [self.env.render_text(state) for state in _states(timeline)]

    def render_images(self, timeline: Timeline) -> Iterator[dict[str, np.ndarray]]:
        """The images of observations, and those of the environment."""
        render = eqx.filter_jit(self.env.render_images)
        for images, state in zip(super().render_images(timeline), _states(timeline), strict=True):
            yield images | {name: np.asarray(image) for name, image in render(state).items()}


def _states(timeline: Timeline) -> Iterator[Any]:
    """The states of the environment in a timeline."""
    leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, timeline.world))
    return (jax.tree.unflatten(structure, state) for state in zip(*leaves, strict=True))


def output_shapes(network: Any, env: AbstractEnv) -> Any:
    """Returns the shapes and dtypes of the output of a network's head for an observation of an environment."""
    seen = jax.eval_shape(lambda: sample(env.observation_space, jax.random.key(0)))
    seen = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), seen)
    return jax.eval_shape(lambda: network.head(network.memory(network.memory.initial(), network.encoder(seen))[1]))
