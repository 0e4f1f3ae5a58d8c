"""The interface of a gradient estimator, and the checks that estimators share."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp

from farback.cell import State
from farback.step import AbstractStep, Model
from farback.types import Carry, InputError, Keys, Outcome, Window


class AbstractEstimator(eqx.Module):
    """Estimates the gradient of the mean loss of a window's steps, averaged over its batch.

    A model is any pytree. Its parameters are its floating-point arrays. The gradient has the structure of the model, with
    `None` in place of every leaf that is not a parameter, as `equinox.filter_grad` returns it.
    """

    @property
    @abstractmethod
    def random(self) -> bool:
        """Whether the gradient is random, and depends on the key."""

    @abstractmethod
    def init(self, step: AbstractStep, model: Model, window: Window, state: State | None = None) -> Carry:
        """The carry before the first window: the states of the memories, and empty traces.

        **Arguments:**

        - `window`: only its shapes matter.
        - `state`: the states to begin with, such as stored ones. The default is the state at the beginning of an episode.
        """

    @abstractmethod
    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        """Returns (gradient, carry, outcome): the gradient of this window, and the carry for the next one.

        **Arguments:**

        - `key`: one key, or one per example of the batch. Each example draws independently of the others.
        """


def initial_state(step: AbstractStep, model: Model, window: Window, state: State | None = None) -> State:
    """The states of a batch of memories before a window: the given ones, or those at the beginning of an episode."""
    batch = window.checked().first.shape[0]
    if state is None:
        return step.initial(model, batch)
    wanted = jax.eval_shape(lambda: step.initial(model, batch))
    if jax.tree.structure(state) != jax.tree.structure(wanted) or any(
        jnp.shape(ours) != theirs.shape
        for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(wanted), strict=True)
    ):
        raise InputError(
            f"state has the shapes {jax.tree.map(jnp.shape, state)}, but those of this memory are "
            f"{jax.tree.map(lambda leaf: leaf.shape, wanted)}: give a state of the same memory and batch."
        )
    return state


def one_example(window: Window) -> Window:
    """The first step of the first example of a window."""
    window.checked()
    return jax.tree.map(lambda leaf: leaf[0, 0], window)


def time_major(window: Window) -> Window:
    """The window with leading axes `[time, batch]`."""
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), window)


def require_multiple(window: Window, length: int, name: str) -> None:
    """Raises unless the window divides into pieces of `length` steps."""
    steps = window.first.shape[1]
    if steps % length:
        raise InputError(
            f"A window of {steps} steps cannot be cut into pieces of {length}, as {name} needs: give windows whose length "
            f"is a multiple of {length}, or change {name}."
        )
