"""What a cell is, and the structures that an estimator may ask of one.

A cell is written for one example. The one method with a batch axis is `unroll`, because the gradient of a weight is a
sum over time *and* batch, and is fast only as one product over both (`docs/decisions/0002-batch.md`).
"""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from engram.types import InputError

State = PyTree[Array]


class AbstractCell(eqx.Module):
    """One step of recurrence: `(state, x) -> (state, output)`, in the order of `lax.scan`."""

    @abstractmethod
    def initial(self) -> State:
        """The state at the beginning of an episode. It may depend on parameters."""

    @abstractmethod
    def __call__(self, state: State, x: Any) -> tuple[State, Any]:
        """The next state, and the output."""


class AbstractUnrolledCell(AbstractCell):
    """A cell that knows a faster way through a whole window than one step after the other."""

    @abstractmethod
    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Any, flow: Float[Array, "time batch"]
    ) -> tuple[State, Any]:
        """As `engram.cell.unroll`, to which it must be equal in value and in gradient."""


class AbstractCompositeCell(AbstractUnrolledCell):
    """A cell made of others, whose state is the tuple of their states."""

    @property
    @abstractmethod
    def parts(self) -> tuple[AbstractCell, ...]:
        """The cells that it is made of."""

    @abstractmethod
    def inputs(self, state: State, x: Any) -> tuple[Any, ...]:
        """What each of the parts sees in the step from `state`."""


class AbstractLocalCell(AbstractCell):
    """A cell whose every state leaf has shape `[units]`, and whose every parameter that moves the state belongs to one
    unit, which is the *last* axis of its array.
    """

    @abstractmethod
    def local(self, state: State, x: Any) -> tuple[State, Any]:
        """The same step, in which each unit takes the states of the other units for constants.

        Equal in value to calling the cell; its state Jacobian is block-diagonal in the units.
        """


class AbstractDiagonalCell(AbstractLocalCell):
    """A local cell whose units truly never meet in the state: `local` is the cell itself, and exact."""

    def local(self, state: State, x: Any) -> tuple[State, Any]:
        return self(state, x)


class AbstractLeakyCell(AbstractLocalCell):
    """A local cell that keeps its past by a leak: s′ = (1 − α) ⊙ s + α ⊙ φ(W_x x + W_h h + b)."""

    @abstractmethod
    def leak(self, state: State, x: Any) -> tuple[State, Any]:
        """The same step, in which the recurrent input W_h h takes the state for a constant: only the leak remembers."""


class AbstractAffineCell(AbstractCell):
    """A cell whose parameters enter through pre-activations linear in them: s′ = φ(s, W ĥ(s, x)).

    W has shape `[regressors, groups, units]`, and unit i of the state meets only the pre-activations of unit i.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """The numbers of groups and of units."""

    @abstractmethod
    def regressors(self, state: State, x: Any) -> Float[Array, " regressors"]:
        """ĥ(s, x)."""

    @abstractmethod
    def shifted(self, state: State, x: Any, shift: Float[Array, "groups units"]) -> State:
        """φ(s, W ĥ(s, x) + shift)."""

    @abstractmethod
    def gather(self, weight: Float[Array, "regressors groups units"]) -> "AbstractAffineCell":
        """This cell with its parameters read off a full matrix W."""


def elements(cell: AbstractCell, state: State) -> list[tuple[AbstractCell, State]]:
    """The cells that a cell is made of, down to the last, each with its part of the state."""
    if not isinstance(cell, AbstractCompositeCell):
        return [(cell, state)]
    return [element for part in zip(cell.parts, state, strict=True) for element in elements(*part)]


def element_inputs(cell: AbstractCell, state: State, x: Any) -> list[Any]:
    """What each of the elements sees in the step from `state`."""
    if not isinstance(cell, AbstractCompositeCell):
        return [x]
    each = zip(cell.parts, state, cell.inputs(state, x), strict=True)
    return [seen for part in each for seen in element_inputs(*part)]


def require_sizes(**sizes: Any) -> None:
    """Refuses numbers of inputs, units and the like that are not positive whole numbers."""
    for name, value in sizes.items():
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{name}={value!r}: a cell has a whole number of at least 1 of each; give {name} >= 1.")


def require_vector(cell: AbstractCell, x: Any, size: int) -> None:
    """Refuses an input that a cell of `size` inputs cannot see."""
    name = type(cell).__name__
    if jnp.shape(x) != (size,):
        raise InputError(f"{name} takes {size} inputs, but it sees an array of shape {jnp.shape(x)}: {_width(x)}.")
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise InputError(
            f"{name} takes floating-point inputs, but it sees {jnp.result_type(x)}: give one-hot vectors for symbols "
            f"(jax.nn.one_hot), or convert with astype(float)."
        )


def _width(x):
    return f"{jnp.shape(x)[-1]} inputs want a cell made for them" if jnp.ndim(x) == 1 else "one vector a step is wanted"


def reset(cell: AbstractCell, state: State, first: Bool[Array, ""]) -> State:
    """The state before a step: the initial one where an episode begins."""
    return jax.tree.map(lambda fresh, old: jnp.where(first, fresh, old), cell.initial(), state)


@jax.custom_vjp
def pass_credit(state: State, flow: Float[Array, ""]) -> State:
    """The identity, which multiplies the credit that flows back through it by `flow`: 0 truncates."""
    del flow
    return state


def _pass_credit_fwd(state, flow):
    return state, flow


def _pass_credit_bwd(flow, credit):
    return jax.tree.map(lambda c: flow.astype(c.dtype) * c, credit), jnp.zeros_like(flow)


pass_credit.defvjp(_pass_credit_fwd, _pass_credit_bwd)


def unroll(
    cell: AbstractCell, state: State, first: Bool[Array, "time batch"], x: Any, flow: Float[Array, "time batch"]
) -> tuple[State, Any]:
    """Runs a cell over a window.

    **Arguments:**

    - `state`: one state for each example, leaves `[batch, ...]`.
    - `first`: where the state is reset before the step.
    - `x`: the inputs, leaves `[time, batch, ...]`.
    - `flow`: the factor on the credit that passes from each step back into the state before it.

    **Returns:** the last state, and the outputs, leaves `[time, batch, ...]`.
    """
    if isinstance(cell, AbstractUnrolledCell):
        return cell.unroll(state, first, x, flow)

    def one(state, first, x, flow):
        return cell(reset(cell, pass_credit(state, flow), first), x)

    return jax.lax.scan(lambda state, now: jax.vmap(one)(state, *now), state, (first, x, flow))


def output_size(cell: AbstractCell, input_size: int) -> int:
    """The number of outputs of a cell; it must put out one vector."""
    output = jax.eval_shape(lambda: cell(cell.initial(), jnp.zeros(input_size))[1])
    if not isinstance(output, jax.ShapeDtypeStruct) or len(output.shape) != 1:
        raise InputError(f"{type(cell).__name__} puts out {output}, but one vector is needed for a readout to follow it.")
    return output.shape[0]
