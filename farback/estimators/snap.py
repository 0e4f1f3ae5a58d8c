"""Sparse n-step approximation."""

from farback.cell import AbstractLocalCell, State
from farback.estimators.base import AbstractEstimator
from farback.estimators.forward import forward_gradient, forward_init
from farback.estimators.local import local_begin, local_follow, require_cells, with_derivatives_of
from farback.step import AbstractStep, Model
from farback.types import Carry, InputError, Keys, Outcome, Window


class SnAp(AbstractEstimator):
    """RTRL whose trace keeps only the effect of a parameter on the unit that it feeds: SnAp-1.

        G_i′ = J_ii G_i + M_i,      g = ∂ℓ/∂s · G

    where unit i is every number of the state with index i (h and c of an LSTM). It is biased, without noise, and nearly as
    cheap as one-step truncation: memory ∝ parameters. It is exact for one layer of a diagonal cell. In a stack, each
    recurrent layer has its own trace, and credit passes from layer to layer within the step. Parameters outside of the
    recurrent cells (an encoder, or a linear layer before a cell) get the gradient of the present step only. Use it as the
    first choice on a stream with a dense cell.

    **Arguments:**

    - `steps`: the number of steps within which a parameter's influence on a unit is kept. Only 1 is implemented; the limit
      of many steps is `RTRL()`.

    Reference: Menick et al., *Practical real time recurrent learning with a sparse approximation*, ICLR 2021.
    """

    steps: int = 1

    def __check_init__(self):
        if self.steps != 1:
            raise InputError(
                f"SnAp(steps={self.steps}): only 1 is implemented. In a dense cell a parameter influences every unit "
                f"within 2 steps, so SnAp(2) is RTRL; give SnAp(1) or RTRL()."
            )

    @property
    def random(self) -> bool:
        return False

    def init(self, step: AbstractStep, model: Model, window: Window, state: State | None = None) -> Carry:
        why = "SnAp needs parameters that each feed one unit"
        require_cells(step, model, AbstractLocalCell, "SnAp(1)", why)
        return forward_init(step, model, window, local_begin(step, model), state, exact_encoder=False)

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        surrogate, follow = with_derivatives_of("local", AbstractLocalCell), local_follow(step, model)
        return forward_gradient(step, model, carry, window, key, follow, exact_encoder=False, surrogate=surrogate)
