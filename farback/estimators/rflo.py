"""Random feedback local online learning."""

from farback.cell import AbstractLeakyCell, State
from farback.estimators.base import AbstractEstimator
from farback.estimators.forward import forward_gradient, forward_init
from farback.estimators.local import local_begin, local_follow, require_cells, with_derivatives_of
from farback.step import AbstractStep, Model
from farback.types import Carry, Keys, Outcome, Window


class RFLO(AbstractEstimator):
    """RTRL whose trace passes only through the leak of each unit, with the true feedback weights:

        B_i′ = (1 − α_i) B_i + M_i,      g = ∂ℓ/∂s · B

    It is defined for cells with a leak: `Leaky`, `Gated`, and `Elman` with α = 1, where it is truncation to one step. It is
    cruder than `SnAp(1)` at the same cost. Use it for comparisons: it was proposed as a biologically plausible rule. The
    random feedback weights that gave it its name are replaced by the true ones.

    Reference: Murray, *Local online learning in recurrent networks with random feedback*, eLife 2019.
    """

    @property
    def random(self) -> bool:
        return False

    def init(self, step: AbstractStep, model: Model, window: Window, state: State | None = None) -> Carry:
        require_cells(step, model, AbstractLeakyCell, "RFLO()", "RFLO needs a cell with a leak: Leaky, Gated or Elman")
        return forward_init(step, model, window, local_begin(step, model), state, exact_encoder=False)

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        surrogate, follow = with_derivatives_of("leak", AbstractLeakyCell), local_follow(step, model)
        return forward_gradient(step, model, carry, window, key, follow, exact_encoder=False, surrogate=surrogate)
