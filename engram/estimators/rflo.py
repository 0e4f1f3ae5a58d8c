"""Random feedback local online learning."""

from engram.cell import AbstractLeakyCell
from engram.estimators.base import AbstractEstimator
from engram.estimators.forward import forward_gradient, forward_init
from engram.estimators.local import local_begin, local_follow, require_cells, with_derivatives_of
from engram.step import AbstractStep, Model
from engram.types import Carry, Keys, Outcome, Window


class RFLO(AbstractEstimator):
    """RTRL whose trace follows only the leak of each unit, with the true feedback weights:

        B_i′ = (1 − α_i) B_i + M_i,      g = ∂ℓ/∂s · B

    Defined for units that keep their past by a leak (`Leaky`, `Gated`, and `Elman` as the case α = 1, where it is
    truncation to one step). Cruder than `SnAp(1)` at the same cost; it is here to compare with, for its claim to be
    plausible in brains. The random feedback that gave it its name is left out.

    Reference: Murray, *Local online learning in recurrent networks with random feedback*, eLife 2019.
    """

    @property
    def random(self) -> bool:
        return False

    def init(self, step: AbstractStep, model: Model, window: Window) -> Carry:
        require_cells(step, model, AbstractLeakyCell, "RFLO()", "RFLO follows a leak, which Leaky, Gated and Elman have")
        return forward_init(step, model, window, local_begin(step, model))

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        surrogate = with_derivatives_of("leak", AbstractLeakyCell)
        return forward_gradient(step, model, carry, window, key, local_follow(step, model), surrogate=surrogate)
