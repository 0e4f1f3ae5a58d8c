"""Sparse n-step approximation."""

from engram.cell import AbstractLocalCell
from engram.estimators.base import AbstractEstimator
from engram.estimators.forward import forward_gradient, forward_init
from engram.estimators.local import local_begin, local_follow, require_cells, with_derivatives_of
from engram.step import AbstractStep, Model
from engram.types import Carry, InputError, Keys, Outcome, Window


class SnAp(AbstractEstimator):
    """RTRL whose trace keeps only what a parameter does to the unit that it feeds: SnAp-1.

        G_i′ = J_ii G_i + M_i,      g = ∂ℓ/∂s · G

    where a unit is all of the state that has its index (an LSTM's h and c). Biased, without noise, and nearly as cheap as
    one-step truncation: memory ∝ parameters. Exact for one layer whose units never meet. In a stack, each recurrent layer
    has a trace of its own, credit passes from layer to layer within the step, and parameters that belong to no recurrent
    cell (a linear layer before one) are truncated to one step. Use it as the first thing to try on a stream with a dense
    cell.

    **Arguments:**

    - `steps`: how many steps away an influence is kept; 1 is what is implemented, and `RTRL()` is the limit.

    Reference: Menick et al., *Practical real time recurrent learning with a sparse approximation*, ICLR 2021.
    """

    steps: int = 1

    def __check_init__(self):
        if self.steps != 1:
            raise InputError(
                f"SnAp(steps={self.steps}): for dense cells an influence reaches every unit in 2 steps, where SnAp is "
                f"RTRL; give SnAp(1) or RTRL()."
            )

    @property
    def random(self) -> bool:
        return False

    def init(self, step: AbstractStep, model: Model, window: Window) -> Carry:
        why = "SnAp needs parameters that each feed one unit"
        require_cells(step, model, AbstractLocalCell, "SnAp(1)", why)
        return forward_init(step, model, window, local_begin(step, model))

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        surrogate = with_derivatives_of("local", AbstractLocalCell)
        return forward_gradient(step, model, carry, window, key, local_follow(step, model), surrogate=surrogate)
