"""Several memories in parallel."""

from typing import Any

from jaxtyping import Array, Bool, Float

from farback.cell import AbstractCell, AbstractCompositeCell, State, unroll
from farback.cells.chain import lift


class Parallel(AbstractCompositeCell):
    """Several memories with the same input, such as those of a policy and of a baseline. The output is a tuple.

    **Arguments:**

    - `branches`: the memories. A layer that is not a cell becomes one, as in a `Chain`.
    """

    branches: tuple[AbstractCell, ...]

    def __init__(self, *branches: Any):
        self.branches = tuple(lift(branch) for branch in branches)

    def initial(self) -> State:
        return tuple(branch.initial() for branch in self.branches)

    @property
    def parts(self) -> tuple[AbstractCell, ...]:
        return self.branches

    def inputs(self, state: State, x: Any) -> tuple[Any, ...]:
        return (x,) * len(self.branches)

    def __call__(self, state: State, x: Any) -> tuple[State, Any]:
        pairs = [branch(old, x) for branch, old in zip(self.branches, state, strict=True)]
        return tuple(new for new, _ in pairs), tuple(output for _, output in pairs)

    def unroll(
        self, state: State, first: Bool[Array, "time batch"], x: Any, flow: Float[Array, "time batch"]
    ) -> tuple[State, Any]:
        pairs = [unroll(branch, old, first, x, flow) for branch, old in zip(self.branches, state, strict=True)]
        return tuple(new for new, _ in pairs), tuple(output for _, output in pairs)
