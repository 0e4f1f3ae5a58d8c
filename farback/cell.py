"""The interface of a recurrent cell, and the structures that an estimator may require of it.

A cell is written for one example. Only the method `unroll` has a batch axis, because the gradient of a weight is a sum over
time *and* batch, and is fast only as one product over both (`docs/decisions/0002-batch.md`).
"""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from farback.types import InputError

State = PyTree[Array]


class AbstractCell(eqx.Module):
    """One step of recurrence: `(state, x) -> (state, output)`, in the order of `lax.scan`."""

    @abstractmethod
    def initial(self) -> State:
        """The state at the beginning of an episode. It may depend on parameters."""

    @abstractmethod
    def __call__(self, state: State, x: Any) -> tuple[State, Any]:
        """Returns (state, output): the next state, and the output."""


class AbstractUnrolledCell(AbstractCell):
    """A cell that computes a whole window faster than step by step."""

    @abstractmethod
    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Any, flow: Float[Array, "time batch"]
    ) -> tuple[State, Any]:
        """Equals `farback.cell.unroll` in value and in gradient."""


class AbstractCompositeCell(AbstractUnrolledCell):
    """A cell composed of other cells, whose state is the tuple of their states."""

    @property
    @abstractmethod
    def parts(self) -> tuple[AbstractCell, ...]:
        """The cells that it is composed of."""

    @abstractmethod
    def inputs(self, state: State, x: Any) -> tuple[Any, ...]:
        """The input of each part in the step from `state`."""


class AbstractLocalCell(AbstractCell):
    """A cell whose state leaves have shape `[units]`, and whose parameters feed one unit each.

    The unit is the *last* axis of the array of each parameter that the state depends on.
    """

    @abstractmethod
    def local(self, state: State, x: Any) -> tuple[State, Any]:
        """The same step, in which each unit treats the states of the other units as constants.

        It equals a call of the cell in value, and its state Jacobian is block-diagonal in the units.
        """


class AbstractDiagonalCell(AbstractLocalCell):
    """A local cell whose state Jacobian is block-diagonal in the units, so that `local` is the cell itself."""

    def local(self, state: State, x: Any) -> tuple[State, Any]:
        return self(state, x)


class AbstractLeakyCell(AbstractLocalCell):
    """A local cell with a leak: s′ = (1 − α) ⊙ s + α ⊙ φ(W_x x + W_h h + b)."""

    @abstractmethod
    def leak(self, state: State, x: Any) -> tuple[State, Any]:
        """The same step, in which W_h h treats the state as a constant: credit passes only through the leak."""


class AbstractAffineCell(AbstractCell):
    """A cell whose pre-activations are linear in its parameters: s′ = φ(s, W ĥ(s, x)).

    W has shape `[regressors, groups, units]`. Unit i of the state depends only on the pre-activations of unit i.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(groups, units): the number of groups and of units."""

    @abstractmethod
    def regressors(self, state: State, x: Any) -> Float[Array, " regressors"]:
        """ĥ(s, x)."""

    @abstractmethod
    def shifted(self, state: State, x: Any, shift: Float[Array, "groups units"]) -> State:
        """φ(s, W ĥ(s, x) + shift)."""

    @abstractmethod
    def gather(self, weight: Float[Array, "regressors groups units"]) -> "AbstractAffineCell":
        """This cell with its parameters from a full matrix W."""


def elements(cell: AbstractCell, state: State) -> list[tuple[AbstractCell, State]]:
    """The elementary cells of a cell, each with its part of the state."""
    if not isinstance(cell, AbstractCompositeCell):
        return [(cell, state)]
    return [element for part in zip(cell.parts, state, strict=True) for element in elements(*part)]


def element_inputs(cell: AbstractCell, state: State, x: Any) -> list[Any]:
    """The input of each elementary cell in the step from `state`."""
    if not isinstance(cell, AbstractCompositeCell):
        return [x]
    each = zip(cell.parts, state, cell.inputs(state, x), strict=True)
    return [own for part in each for own in element_inputs(*part)]


def require_sizes(**sizes: Any) -> None:
    """Raises unless the numbers of inputs, units and the like are positive whole numbers."""
    for name, value in sizes.items():
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{name}={value!r}: sizes are positive whole numbers; give {name} >= 1.")


def require_vector(cell: AbstractCell, x: Any, size: int) -> None:
    """Raises unless the input is a vector of `size` floats."""
    name = type(cell).__name__
    if jnp.shape(x) != (size,):
        raise InputError(f"{name} takes {size} inputs, but its input has shape {jnp.shape(x)}: {_remedy(x)}.")
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise InputError(
            f"{name} takes floating-point inputs, but its input is {jnp.result_type(x)}: give one-hot vectors for symbols "
            f"(jax.nn.one_hot), or convert with astype(float)."
        )


def _remedy(x):
    return f"make the cell for {jnp.shape(x)[-1]} inputs" if jnp.ndim(x) == 1 else "give one vector per step"


def reset(cell: AbstractCell, state: State, first: Bool[Array, ""]) -> State:
    """The state before a step: the initial state where an episode begins."""
    return jax.tree.map(lambda fresh, old: jnp.where(first, fresh, old), cell.initial(), state)


@jax.custom_vjp
def pass_credit(state: State, flow: Float[Array, ""]) -> State:
    """The identity, whose gradient is multiplied by `flow`; 0 truncates."""
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

    - `state`: one state per example, leaves `[batch, ...]`.
    - `first`: the steps before which the state is reset.
    - `x`: the inputs, leaves `[time, batch, ...]`.
    - `flow`: the factor on the credit from each step to the state before it.

    **Returns:** (state, outputs): the last state, and the outputs, leaves `[time, batch, ...]`.
    """
    if isinstance(cell, AbstractUnrolledCell):
        return cell.unroll(state, first, x, flow)

    def one(state, first, x, flow):
        return cell(reset(cell, pass_credit(state, flow), first), x)

    return jax.lax.scan(lambda state, now: jax.vmap(one)(state, *now), state, (first, x, flow))


def output_size(cell: AbstractCell, input_size: int) -> int:
    """The number of outputs of a cell, whose output must be one vector."""
    output = jax.eval_shape(lambda: cell(cell.initial(), jnp.zeros(input_size))[1])
    if not isinstance(output, jax.ShapeDtypeStruct) or len(output.shape) != 1:
        raise InputError(f"The output of {type(cell).__name__} is {output}, but the next layer needs one vector.")
    return output.shape[0]
