"""What an estimator is: a way of sending credit through time."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp

from engram.step import AbstractStep, Model
from engram.types import Carry, InputError, Keys, Outcome, Window


class AbstractEstimator(eqx.Module):
    """Estimates the gradient of the mean loss of a window's steps, averaged over its batch.

    A model is any pytree; its parameters are its floating-point arrays. The gradient has the structure of the model, with
    `None` in place of whatever is no parameter, as `equinox.filter_grad` returns it.
    """

    @property
    @abstractmethod
    def random(self) -> bool:
        """Whether the gradient is a random one, which depends on the key."""

    @abstractmethod
    def init(self, step: AbstractStep, model: Model, window: Window) -> Carry:
        """The carry at the beginning: initial states and empty traces. Of the window, only the shapes matter."""

    @abstractmethod
    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        """The gradient of this window, and the carry for the one after it.

        `key` is one key, or one for each example of the batch: no example's draws depend on the others.
        """


def initial_state(step: AbstractStep, model: Model, window: Window):
    """The states of a batch of memories at the beginning of an episode."""
    window.checked()
    return step.initial(model, window.first.shape[0])


def example_keys(key: Keys, batch: int) -> Keys:
    """A key for each example of a batch, from one key; or as they are, where they are given."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return key if key.ndim == (1 if typed else 2) else jax.random.split(key, batch)


def one_example(window: Window) -> Window:
    """One step of one example of a window."""
    window.checked()
    return jax.tree.map(lambda leaf: leaf[0, 0], window)


def time_major(window: Window) -> Window:
    """The window with its leading axes `[time, batch]`."""
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), window)


def require_multiple(window: Window, length: int, name: str) -> None:
    """Refuses a window that cannot be cut into pieces of `length` steps."""
    steps = window.first.shape[1]
    if steps % length:
        raise InputError(
            f"A window of {steps} steps cannot be cut into pieces of {length}, as {name} asks: give windows whose length "
            f"is a multiple of {length}, or change {name}."
        )
