"""Linear cells: h′ = a ⊙ h + b, and the scan that computes a window of them."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact

from farback.cell import AbstractDiagonalCell, State, pass_credit
from farback.cells.projected import AbstractProjectedCell


class Complex(NamedTuple):
    """A complex state, as two real leaves."""

    re: Float[Array, "*batch units"]
    im: Float[Array, "*batch units"]


def join(state: State) -> Inexact[Array, "*batch units"]:
    """The state as one array, complex where the state is `Complex`."""
    return jax.lax.complex(state.re, state.im) if isinstance(state, Complex) else state


def split(h: Inexact[Array, "*batch units"]) -> State:
    """The inverse of `join`."""
    return Complex(h.real, h.imag) if jnp.iscomplexobj(h) else h


class AbstractLinearCell(AbstractProjectedCell, AbstractDiagonalCell):
    """A cell that is linear in its state and diagonal: h′ = a(x) ⊙ h + b(x), where (a, b) is the projected input.

    The initial state is zero, and `linear_scan` computes a window. A complex h is two real leaves.
    """

    def advance(self, state: State, z: tuple[Inexact[Array, " units"], Inexact[Array, " units"]]) -> State:
        a, b = z
        return split(a * join(state) + b)

    def run(self, state: State, first: Bool[Array, "time batch"], z: Any, flow: Float[Array, "time batch"]) -> State:
        a, b = z
        return split(linear_scan(a, b, join(state), first, flow))


def linear_scan(
    a: Inexact[Array, "time batch units"],
    b: Inexact[Array, "time batch units"],
    state: Inexact[Array, "batch units"],
    first: Bool[Array, "time batch"],
    flow: Float[Array, "time batch"],
) -> Inexact[Array, "time batch units"]:
    """All states of the recurrence h_t = a_t ⊙ h_{t−1} + b_t, where h_{t−1} = 0 at the first step of an episode.

    Credit obeys the reverse recurrence, δ_t = ∂ℓ/∂h_t + flow_{t+1} a_{t+1} ⊙ δ_{t+1}. Both take O(log time) parallel steps
    on accelerators. On CPUs they run step by step, which is several times faster there.

    **Arguments:**

    - `a`, `b`: the factor and the term of each step, real or complex.
    - `state`: the state before the window.
    - `first`, `flow`: as in `farback.cell.unroll`.

    Reference: Blelloch, *Prefix sums and their applications*, 1990; Martin and Cundy, *Parallelizing linear recurrent
    neural nets over sequence length*, ICLR 2018.
    """
    a = jnp.where(first[..., None], jnp.zeros_like(a), a)
    before = jax.vmap(pass_credit)(state, flow[0])
    return _scan(a, b.at[0].add(a[0] * before), flow)


@jax.custom_vjp
def _scan(a, b, flow):
    """h_0 = b_0, h_t = a_t h_{t−1} + b_t."""
    del flow
    return _solve(a, b)


def _scan_fwd(a, b, flow):
    h = _scan(a, b, flow)
    return h, (a, h, flow)


def _scan_bwd(saved, credit):
    a, h, flow = saved
    zero = jnp.zeros_like(a[:1])
    passed = jnp.concatenate([flow[1:, :, None].astype(a.dtype) * a[1:], zero])
    delta = _solve(passed, credit, reverse=True)
    return delta * jnp.concatenate([zero, h[:-1]]), delta, jnp.zeros_like(flow)


_scan.defvjp(_scan_fwd, _scan_bwd)


def _solve(a, b, reverse=False):
    """The recurrence of `_scan`, forwards or backwards in time. Its first factor has no effect."""
    parallel, stepping = partial(in_parallel, reverse=reverse), partial(in_turn, reverse=reverse)
    return jax.lax.platform_dependent(a, b, cpu=stepping, default=parallel)


def in_turn(
    a: Inexact[Array, "time *batch"], b: Inexact[Array, "time *batch"], *, reverse: bool
) -> Inexact[Array, "time *batch"]:
    """Scans h′ = a ⊙ h + b from zero, step by step."""

    def step(h, now):
        a, b = now
        h = a * h + b
        return h, h

    return jax.lax.scan(step, jnp.zeros_like(b[0]), (a, b), reverse=reverse)[1]


def in_parallel(
    a: Inexact[Array, "time *batch"], b: Inexact[Array, "time *batch"], *, reverse: bool
) -> Inexact[Array, "time *batch"]:
    """Scans h′ = a ⊙ h + b from zero, by an associative scan over the affine maps."""

    def compose(left, right):
        (a, b), (c, d) = left, right
        return a * c, b * c + d

    return jax.lax.associative_scan(compose, (a, b), reverse=reverse)[1]
